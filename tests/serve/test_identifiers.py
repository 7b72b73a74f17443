"""Identifiers in names of uploaded files and in headers of every kind: none is in an answer, a file or a log."""

from __future__ import annotations

import gzip
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from starlette.testclient import TestClient

from secondread.errors import DataError, ResourceError
from secondread.serve import create_app
from secondread.serve.app import quiet_decoders
from secondread.volume import Study
from tests.formats.scans import write_series
from tests.serve.fakes import picture_bytes, picture_reader, volume, volume_bytes, volume_reader

pytestmark = pytest.mark.usefixtures("scratch")

LAST, FIRST, NUMBER, BORN, ACCESSION = "Quastenberg", "Adelheid", "7703190", "19530814", "ACC9015502"
PLANTED = (LAST, FIRST, NUMBER, BORN, "1953-08-14", ACCESSION)

STEM = f"{LAST}_{FIRST}_{NUMBER}_{BORN}_{ACCESSION}"
COMMENT = f"{FIRST} {LAST}, {NUMBER}, born 1953-08-14, {ACCESSION}"

Files = list[tuple[str, tuple[str, bytes]]]


def found_in(data: bytes) -> list[str]:
    texts = [data.decode("latin-1").casefold()]
    if data[:2] == b"\x1f\x8b":
        texts.append(gzip.decompress(data).decode("latin-1").casefold())
    return [one for one in PLANTED if any(one.casefold() in text for text in texts)]


def dicom(folder: Path, **more: Any) -> list[bytes]:
    paths = write_series(
        folder / "dicom",
        np.random.default_rng(0).integers(0, 900, (12, 12, 6)).astype(np.uint16),
        PatientName=f"{LAST}^{FIRST}",
        PatientID=NUMBER,
        PatientBirthDate=BORN,
        AccessionNumber=ACCESSION,
        PatientComments=COMMENT,
        SeriesDescription=f"t1 {LAST}",
        ProtocolName=f"{LAST} t1",
        StudyDescription=COMMENT,
        InstitutionName=f"Praxis {LAST}",
        **more,
    )
    return [path.read_bytes() for path in paths]


def nifti(folder: Path) -> bytes:
    image = nib.Nifti1Image(volume().voxels, volume().geometry.affine)
    image.header["descrip"] = f"{LAST} {FIRST} {NUMBER} {BORN}".encode()
    image.header["aux_file"] = f"{LAST}.txt".encode()
    image.header["intent_name"] = LAST.encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", COMMENT.encode()))
    nib.save(image, folder / "made.nii.gz")
    return (folder / "made.nii.gz").read_bytes()


def nrrd(folder: Path, *lines: str) -> bytes:
    head, _, body = volume_bytes(folder, ".nrrd").partition(b"\n\n")
    said = [f"# {COMMENT}", f"content: {COMMENT}", f"PatientName:={LAST}", *lines]
    return b"\n".join([head, *(line.encode() for line in said)]) + b"\n\n" + body


def mha(folder: Path, *lines: str) -> bytes:
    head, mark, body = volume_bytes(folder, ".mha").partition(b"ElementDataFile")
    said = [f"Comment = {COMMENT}", f"PatientName = {LAST}", *lines]
    return head + "".join(f"{line}\n" for line in said).encode() + mark + body


def png() -> bytes:
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", COMMENT)
    told.add_text("Author", LAST)
    out = io.BytesIO()
    Image.open(io.BytesIO(picture_bytes())).save(out, "PNG", pnginfo=told)
    return out.getvalue()


def jpeg() -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x010E], exif[0x013B] = COMMENT, LAST  # ImageDescription, Artist
    Image.open(io.BytesIO(picture_bytes())).save(out, "JPEG", exif=exif, comment=COMMENT.encode())
    return out.getvalue()


def uploads(contents: list[bytes], suffix: str) -> Files:
    return [("files", (f"{STEM}_{n}{suffix}", content)) for n, content in enumerate(contents)]


def good(folder: Path) -> dict[str, Files]:
    return {
        "dicom": uploads(dicom(folder), ".dcm"),
        "nifti": uploads([nifti(folder)], ".nii.gz"),
        "nrrd": uploads([nrrd(folder)], ".nrrd"),
        "mha": uploads([mha(folder)], ".mha"),
        "png": uploads([png()], ".png"),
        "jpeg": uploads([jpeg()], ".jpg"),
    }


def bad(folder: Path) -> Iterator[tuple[str, Files]]:
    """Every good upload cut short, with bytes turned over, under other suffixes; headers that hold names where the
    format wants a number; parts that do not belong together."""
    fine = good(folder)
    for kind, files in fine.items():
        name, content = files[0][1]
        for share in (0.05, 0.3, 0.6, 0.98):
            yield f"{kind} cut at {share}", [("files", (name, content[: int(share * len(content))])), *files[1:]]
        flipped = bytearray(content)
        for at in range(7, min(len(content), 900), 41):
            flipped[at] ^= 0xFF
        yield f"{kind} with bytes turned over", [("files", (name, bytes(flipped))), *files[1:]]
        for suffix in (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".dcm", ".exe", f".{LAST}"):
            yield f"{kind} as {suffix}", [("files", (f"{STEM}{suffix}", content))]
    for field in ("space", "type", "encoding", "sizes", "space directions", "endian", "data file"):
        yield f"nrrd with a name as {field}", uploads([nrrd(folder, f"{field}: {LAST}")], ".nrrd")
    for field in ("ElementType", "DimSize", "TransformMatrix", "ElementSpacing", "CompressedData", "NDims"):
        yield f"mha with a name as {field}", uploads([mha(folder, f"{field} = {LAST}")], ".mha")
    yield "dicom without every second image", fine["dicom"][::2][:1] + fine["dicom"][3:]
    yield "dicom in a syntax that is none", uploads(dicom(folder / "colour", PhotometricInterpretation=LAST), ".dcm")
    yield "dicom of another kind", uploads(dicom(folder / "kind", ImageType=["MOSAIC", LAST]), ".dcm")
    yield "two of one contrast", uploads([nifti(folder)] * 2, "_t1.nii.gz")
    yield "picture beside volume", [*fine["png"], *fine["nifti"]]


def everything_said(client: TestClient, files: Files, address: str = "/v1/read") -> list[bytes]:
    """Body and headers of the answer, and of all that it points to."""
    answer = client.post(address, files=files)
    said = [answer.content, str(answer.headers).encode()]
    if answer.status_code == 200:
        found = answer.json()
        for place in (f"/v1/readings/{found['id']}", found["mask"], found["picture"]):
            more = client.get(place)
            assert more.status_code == 200
            said += [more.content, str(more.headers).encode()]
    return said


def reader_for(kind: str) -> TestClient:
    reader = picture_reader() if kind.startswith(("png", "jpeg")) else volume_reader()
    return TestClient(create_app(reader), raise_server_exceptions=False)


def test_nothing_planted_comes_back(
    tmp_path: Path, scratch: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    fine, broken = good(tmp_path), list(bad(tmp_path))
    caplog.clear()  # of what the making itself logged
    capfd.readouterr()
    caplog.set_level(logging.DEBUG)
    for name in ("PIL", "pydicom", "nibabel"):
        caplog.set_level(logging.DEBUG, logger=name)  # put back when the test ends
    quiet_decoders()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for kind, files in fine.items():
            answer = reader_for(kind).post("/v1/read", files=files)
            assert answer.status_code == 200, (kind, answer.text)
            for said in everything_said(reader_for(kind), files):
                assert found_in(said) == [], kind
        refused, leaked = 0, list[tuple[str, bytes]]()
        for kind, files in broken:
            answers = everything_said(reader_for(kind), files)
            refused += len(answers) == 2
            leaked += [(kind, said) for said in answers if found_in(said)]
    assert not leaked, "\n".join(f"{kind}: {said!r}" for kind, said in leaked)
    assert refused > 60
    assert found_in(caplog.text.encode()) == []
    out, err = capfd.readouterr()
    assert found_in((out + err).encode()) == []
    assert found_in(" ".join(str(one.message) for one in warned).encode()) == []
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("error", [DataError, ResourceError, ValueError, KeyError])
def test_an_error_that_quotes_a_header_is_not_passed_on(
    error: type[Exception], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever reads may fail with the header's words in its message."""
    caplog.set_level(logging.DEBUG)

    def fail(study: Study) -> None:
        raise error(f"{COMMENT}: cannot be read" if error in (ValueError, KeyError) else f"study {study.name!r}: torn")

    client = TestClient(create_app(volume_reader(before=fail)), raise_server_exceptions=False)
    answer = client.post("/v1/read", files=uploads([nifti(tmp_path)], ".nii.gz"))
    assert answer.status_code >= 400
    assert found_in(answer.content) == []
    assert found_in(caplog.text.encode()) == []


def test_names_in_addresses_and_fields_are_not_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="secondread")
    client = TestClient(create_app(volume_reader()), raise_server_exceptions=False)
    for answer in (
        client.get(f"/v1/readings/{STEM}"),
        client.get(f"/v1/readings/{STEM}/mask"),
        client.get(f"/{STEM}"),
        client.delete(f"/v1/readings/{STEM}"),
        client.post(f"/v1/read?contrast={LAST}", files=uploads([nifti(tmp_path)], ".nii.gz")),
        client.post("/v1/read", files={LAST: ("x.nii.gz", nifti(tmp_path))}, data={STEM: COMMENT}),
        client.post("/v1/read", content=COMMENT.encode(), headers={"content-type": f"multipart/{LAST}"}),
    ):
        assert found_in(answer.content) == []
        assert found_in(str(answer.headers).encode()) == []
    records = [record for record in caplog.records if record.name.startswith("secondread")]
    assert found_in(" ".join(record.getMessage() for record in records).encode()) == []


def test_the_check_can_fail(tmp_path: Path) -> None:
    assert set(found_in(nifti(tmp_path))) >= {LAST, NUMBER}
    assert found_in(dicom(tmp_path)[0])
    assert found_in(png())
    assert found_in(jpeg())
