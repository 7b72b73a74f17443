"""A table about people: what of it becomes a subgroup, and what stays out of a report that is passed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from secondread.errors import LabelError
from secondread.evaluate import evaluate
from secondread.evaluate.about import ALONE, NAMED, TELLING, About, read_about
from secondread.evaluate.bands import thirds
from secondread.index import Row

from .fakes import FakeReader, spec, write_pictures, write_run

Table = Callable[[Mapping[str, Sequence[str]]], About]


def people(count: int) -> list[Row]:
    """Two studies a patient."""
    return [
        Row(f"d/s{n}-{visit}", f"p{n}", "csv", (Path("x.png"),), ("image",)) for n in range(count) for visit in (0, 1)
    ]


@pytest.fixture
def about(tmp_path: Path) -> Table:
    """Reads a table of columns, a line per patient."""

    def read(columns: Mapping[str, Sequence[str]]) -> About:
        count = len(next(iter(columns.values())))
        lines = [";".join((f"p{n}", *(cells[n] for cells in columns.values()))) for n in range(count)]
        (tmp_path / "people.csv").write_text("\n".join((";".join(("group", *columns)), *lines)), encoding="utf-8")
        return read_about(tmp_path / "people.csv", people(count))

    return read


def test_ages_sex_and_keys(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 4)
    table = tmp_path / "people.tsv"
    groups = list(dict.fromkeys(row.group for row in rows))
    lines = [f"{group}\t{20 + 15 * n}\t{'FM'[n % 2]}" for n, group in enumerate(groups)]
    table.write_text("participant_id\tage\tsex\n" + "\n".join(lines))
    found = read_about(table, rows)
    assert set(found.properties["age"].values()) == {"18 to 39", "40 to 64", "65 and above"}
    assert set(found.properties["sex"].values()) == {"F", "M"}
    assert len(found.properties["sex"]) == len(rows)
    assert found.notes == ()
    table.write_text("participant_id,age\nnobody,3\n")
    with pytest.raises(LabelError, match="about any study"):
        read_about(table, rows)
    table.write_text("name,age\nnobody,3\n")
    with pytest.raises(LabelError, match="study or group or participant_id"):
        read_about(table, rows)


@pytest.mark.parametrize(
    "column",
    ["name", "Patient Name", "surname", "born", "birth_date", "mrn", "patient_id", "patient", "physician", "address",
     "phone", "e-mail", "zip code", "accession_number", "scan_date", "subject no", "19400110", "principal investigator",
     "rater", "annotated_by", "treating oncologist", "PI", "site_coordinator", "site_lead", "grade_author",
     "scanner_user", "read_by_1", "user_2", "lead_site", "site_pi_code", "contact_person", "assigned_to"],
)  # fmt: skip
def test_columns_named_as_identifiers_are_left_out(column: str, about: Table) -> None:
    found = about({column: ["1", "2"] * 10, "sex": ["F", "M"] * 10})
    assert set(found.properties) == {"sex"}
    assert found.notes[0].endswith(f"{NAMED}.")


@pytest.mark.parametrize(
    "column",
    ["patient_sex", "idh", "scanner", "family history", "update", "side", "age", "years_of_education", "site_id",
     "scanner name", "institution", "pi-rads", "contact_sports"],
)  # fmt: skip
def test_other_columns_are_told(column: str, about: Table) -> None:
    assert set(about({column: ["1", "2"] * 10}).properties) == {column}


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ([f"Nowak {chr(65 + n)}" for n in range(20)], ALONE),
        ([f"free words {n}" for n in range(12)] + ["none"] * 8, ALONE),
        ([f"{1940 + n // 2}-01-10" for n in range(20)], TELLING),  # shared by two each
        ([f"{4915100 + n}" for n in range(20)], TELLING),
        ([f"{4915100 + n}.0" for n in range(20)], TELLING),  # as spreadsheets write a column with gaps
        (["Zsigmond Horvath", "Ilse Baumgartner"] * 10, TELLING),
    ],
)
def test_values_that_tell_who_somebody_is_are_left_out(cells: list[str], why: str, about: Table) -> None:
    found = about({"remark": cells})
    assert found.properties == {}
    assert found.notes == (f"Left out of the table about people: remark; {why}.",)


def test_only_values_that_two_patients_share_are_printed(about: Table) -> None:
    found = about({"scanner": ["Skyra", "Verio"] * 9 + ["Lindqvist", "Prisma"]}).properties["scanner"]
    assert set(found.values()) == {"Skyra", "Verio", "other"}
    assert found["d/s18-0"] == "other"
    grades = about({"lesions": ["1", "2"] * 9 + ["17", "18"]}).properties["lesions"]
    assert set(grades.values()) == {"1", "2", "other"}
    weights = about({"weight": [f"{50 + 3.7 * n:.1f}" for n in range(9)]}).properties["weight"]
    assert len(set(weights.values())) == 3
    assert all(any(word in value for word in ("below", " to ", "above")) for value in weights.values())


def test_limits_of_thirds_are_true_of_what_they_divide(about: Table) -> None:
    years = about({"year": [str(2000 + n) for n in range(20)]}).properties["year"]
    assert set(years.values()) == {"below 2,006", "2,006 to 2,013", "2,013 and above"}
    assert years["d/s5-0"] == "below 2,006"
    assert years["d/s6-0"] == "2,006 to 2,013"
    assert thirds({str(n): value for n, value in enumerate((65520.0, 65520.0, 262144.0, 262144.0))}, "pixels")["0"] == (
        "65,500 to 262,000 pixels"
    )


@pytest.mark.parametrize("column", ["site_colour", "status_remark"])
def test_names_in_columns_that_only_begin_like_kinds_are_left_out(column: str, about: Table) -> None:
    assert about({column: ["Zsigmond Horvath", "Ilse Baumgartner"] * 10}).notes[0].endswith(f"{TELLING}.")


def test_a_long_measure_is_told_in_thirds_of_three_digits(about: Table) -> None:
    volumes = about({"tumour_volume_mm3": [f"{152_340.5 + 9_871 * n}" for n in range(20)]}).properties[
        "tumour_volume_mm3"
    ]
    assert set(volumes.values()) == {"below 212,000", "212,000 to 281,000", "281,000 and above"}


@pytest.mark.parametrize(
    "column",
    ["age", "age_at_scan", "Age (years)", "age_at_scan_in_years", "age_yrs", "age_baseline", "age_y_at_scan", "ages",
     "age_first_seizure", "Age [years old]", "patient_age", "age_at_diagnosis"],
)  # fmt: skip
def test_columns_of_ages_have_bands(column: str, about: Table) -> None:
    assert set(about({column: ["30", "50", "30", "50"]}).properties.popitem()[1].values()) == {"18 to 39", "40 to 64"}


@pytest.mark.parametrize("column", ["age_group", "age in months", "agent", "age_at_scan_months", "age at MRI (days)",
                                    "age_mths", "gestational_age", "bone_age", "age_over_65", "age_percentile",
                                    "aged_care", "age_squared"])  # fmt: skip
def test_other_columns_that_begin_like_ages_have_none(column: str, about: Table) -> None:
    assert set(about({column: ["3", "150", "3", "150"]}).properties.popitem()[1].values()) == {"3", "150"}


@pytest.mark.parametrize(
    ("column", "cells"),
    [("smoker", ["ex", "never"]), ("marital_status", ["wed", "widowed"]), ("country", ["Chad", "Cuba"])],
)
def test_kinds_are_told_in_any_words(column: str, cells: list[str], about: Table) -> None:
    assert set(about({column: cells * 5}).properties[column].values()) == set(cells)


@pytest.mark.parametrize("column", ["age", "score"])
@pytest.mark.parametrize("count", [6, 30])
def test_numbers_that_are_none_count_as_missing(column: str, count: int, about: Table) -> None:
    cells = ["nan", "inf", "-inf", *(f"{20 + n}" for n in range(count - 3))]
    found = about({column: cells}).properties[column]
    assert len(found) == 2 * (count - 3)
    assert "d/s1-0" not in found


@pytest.mark.parametrize("age", ["-3", "130", "1e308"])
def test_an_age_that_none_can_be_names_its_line(age: str, about: Table) -> None:
    with pytest.raises(LabelError, match=r"people\.csv, line 3: age .* is no age in years"):
        about({"age": ["30", age, "40"]})
    assert set(about({"age": ["30", "89+", "40"]}).properties["age"].values()) == {
        "18 to 39",
        "40 to 64",
        "65 and above",
    }
    assert about({"age_months": ["200", "300", "400"] * 2}).properties


def test_lines_that_disagree_are_refused_by_number(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("study,sex\nd/s0-0,M\nd/s1-0,F\nd/s0-0,M\ns0-0,F\n")
    with pytest.raises(LabelError, match="lines 2 and 5 disagree about study 'd/s0-0': keep one"):
        read_about(table, people(2))


def test_no_identifier_of_a_table_is_in_the_report(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path / "data", 12)
    groups = list(dict.fromkeys(row.group for row in rows))
    names = [f"Kunigunde{chr(97 + n)} Xylander" for n in range(len(groups))]
    lines = [
        f"{group},{'FM'[n % 2]},{names[n]},19{40 + n}-03-1{n % 9},M77{n:02d}319,Dr Vogelsang,{names[n]} unhorsed"
        for n, group in enumerate(groups)
    ]
    table = tmp_path / "people.csv"
    table.write_text("group,sex,name,born,mrn,physician,history\n" + "\n".join(lines))
    run, out = write_run(tmp_path / "R", rows), tmp_path / "E"
    evaluate(run, out, reader=FakeReader(spec(("glioma", "meningioma"), "no_tumor")), about=table)
    for file in ("report.html", "metrics.json"):
        text = (out / file).read_text(encoding="utf-8")
        assert not any(part in text for part in ("Kunigunde", "Xylander", "-03-1", "M77", "Vogelsang", "unhorsed"))
        assert f"name, born, mrn and physician; {NAMED}" in text
        assert f"history; {ALONE}" in text
    assert "sex: F" in (out / "report.html").read_text(encoding="utf-8")
