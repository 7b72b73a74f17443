"""NRRD and MetaImage as others write them, and as nobody should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from secondread.errors import (
    FormatError,
    GeometryError,
    SecondreadError,
    TruncatedFile,
    UnsafeFileError,
    UnsupportedFormat,
)
from secondread.formats import probe, read_volume
from tests.formats.scans import noise

SHAPE = (6, 5, 4)
Reads = Callable[[Path], object]
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 1 2 3
ElementSpacing = 2 2 3
DimSize = 6 5 4
ElementType = MET_SHORT
ElementDataFile = """
NRRD = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 6 5 4
space directions: (2,0,0) (0,2,0) (0,0,3)
endian: little
encoding: raw
space origin: (1,2,3)
"""


def raw() -> bytes:
    return noise(SHAPE).astype("<i2").tobytes(order="F")


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_itk_writes(tmp_path: Path, suffix: str, packed: bool) -> None:
    image = sitk.GetImageFromArray(noise(SHAPE).T.copy())
    image.SetSpacing((0.5, 0.7, 3))
    image.SetOrigin((-10, 20, 30))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image, str(path), packed)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, noise(SHAPE))
    for index in ((0, 0, 0), (1, 2, 3)):
        np.testing.assert_allclose(volume.geometry.to_mm(index), image.TransformIndexToPhysicalPoint(index), atol=1e-9)
    assert volume.warnings == ()
    assert probe(path).kind == ("nrrd" if suffix in (".nrrd", ".nhdr") else "mha")


def test_ras_becomes_lps(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(NRRD.replace("left-posterior", "right-anterior").encode() + b"\n" + raw())
    np.testing.assert_allclose(read_volume(path).geometry.affine[:3], [[-2, 0, 0, -1], [0, -2, 0, -2], [0, 0, 3, 3]])


@pytest.mark.parametrize("named", ["../secret.raw", "/etc/passwd", "link/secret.raw"])
def test_a_data_file_outside_the_folder(tmp_path: Path, named: str) -> None:
    (tmp_path / "secret.raw").write_bytes(raw())
    inner = tmp_path / "in"
    inner.mkdir()
    (inner / "link").symlink_to(tmp_path)
    (inner / "a.mhd").write_text(META + named + "\n")
    (inner / "b.nhdr").write_text(NRRD + f"data file: {named}\n\n")
    (inner / "c.nrrd").write_text(NRRD + f"datafile: {named}\n\n")
    for name in ("a.mhd", "b.nhdr", "c.nrrd"):
        for act in (probe, read_volume):
            with pytest.raises(UnsafeFileError, match="outside its folder"):
                act(inner / name)


def test_data_file_beside_the_header(tmp_path: Path) -> None:
    (tmp_path / "voxels ü.raw").write_bytes(raw())
    (tmp_path / "a.mhd").write_text(META + "voxels ü.raw\n")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mhd").voxels, noise(SHAPE))
    (tmp_path / "b.mhd").write_text(META + "gone.raw\n")
    with pytest.raises(FormatError, match="names for its voxels is missing"):
        probe(tmp_path / "b.mhd")
    for several in ("LIST\na.raw", "a%03d.raw 1 3 1"):
        (tmp_path / "c.mhd").write_text(META + several + "\n")
        with pytest.raises(UnsupportedFormat, match="several files"):
            probe(tmp_path / "c.mhd")


def test_truncated(tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_bytes((META + "LOCAL\n").encode() + raw()[:-60])
    (tmp_path / "b.nrrd").write_bytes(NRRD.encode() + b"\n" + raw()[:-200])
    (tmp_path / "v.raw").write_bytes(raw()[:-1])
    (tmp_path / "c.mhd").write_text(META + "v.raw\n")
    (tmp_path / "d.nrrd").write_bytes(b"")
    for name in ("a.mha", "b.nrrd", "c.mhd", "d.nrrd"):
        with pytest.raises(TruncatedFile, match=name):
            read_volume(tmp_path / name)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_truncated_and_compressed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(noise((20, 20, 20), seed=2)), str(path), True)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(FormatError, match=path.name):
        read_volume(path)


def test_silence_about_place(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(
        NRRD.replace("space: left-posterior-superior\n", "")
        .replace("space directions: (2,0,0) (0,2,0) (0,0,3)", "spacings: 2 2 3")
        .replace("space origin: (1,2,3)\n", "")
        .encode()
        + b"\n"
        + raw()
    )
    (tmp_path / "b.mha").write_bytes(
        (META + "LOCAL\n").replace("TransformMatrix = 1 0 0 0 1 0 0 0 1\n", "").encode() + raw()
    )
    for name in ("a.nrrd", "b.mha"):
        volume = read_volume(tmp_path / name)
        assert volume.geometry.spacing == (2.0, 2.0, 3.0)
        assert "orientation" in volume.warnings[0]
    (tmp_path / "c.mha").write_bytes((META + "LOCAL\n").replace("ElementSpacing = 2 2 3\n", "").encode() + raw())
    with pytest.raises(GeometryError, match="no spacing"):
        probe(tmp_path / "c.mha")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DimSize = 6 5 4", "DimSize = 60000 50000 40000"),
        ("DimSize = 6 5 4", "DimSize = 6 0 4"),
        ("DimSize = 6 5 4", "DimSize = 6 5 -4"),
        ("MET_SHORT", "MET_SHORT\nElementNumberOfChannels = 3"),
        ("1 0 0 0 1 0 0 0 1", "1 0 0 1 0 0 0 0 1"),
        ("ElementSpacing = 2 2 3", "ElementSpacing = 2 0 3"),
        ("NDims = 3", "NDims = 2"),
        ("NDims = 3", "NDims = 99"),
    ],
)
def test_headers_that_make_no_sense(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes((META + "LOCAL\n").replace(old, new).encode() + raw() * 4)
    with pytest.raises(FormatError, match=r"a\.mha"):
        read_volume(path)


def test_several_volumes(tmp_path: Path) -> None:
    image = sitk.JoinSeries([sitk.GetImageFromArray(noise(SHAPE))] * 3)
    for suffix in (".nrrd", ".mha"):
        sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
        with pytest.raises(FormatError, match="volumes"):
            probe(tmp_path / f"a{suffix}")


def test_no_such_format(tmp_path: Path) -> None:
    for name in ("a.nrrd", "b.mha", "c.mhd"):
        (tmp_path / name).write_bytes(b"\x89PNG" + bytes(2000))
        with pytest.raises(SecondreadError, match=name):
            probe(tmp_path / name)


PLANTED = ("Quastenberg", "Adelheid", "7703190", "19530814", "1953-08-14")


@pytest.mark.parametrize(
    "value", [*PLANTED, "Quastenberg Adelheid 19530814", f"{'x' * 300}_Quastenberg", "19530814 7703190 3"]
)
@pytest.mark.parametrize("act", [probe, read_volume])
def test_what_a_field_holds_is_not_repeated_unless_it_is_a_short_number(tmp_path: Path, act: Reads, value: str) -> None:
    """Every field in turn, and every field that is not there by default."""
    meta = (META + "LOCAL").splitlines()
    more = ("ElementNumberOfChannels", "CompressedData", "HeaderSize", "BinaryData", "ElementByteOrderMSB")
    for at, line in enumerate([*meta, *(f"{name} = " for name in more)]):
        name = line.split(" = ")[0]
        changed = [f"{name} = {value}", *(other for other in meta if not other.startswith(f"{name} ="))]
        if name == "ElementDataFile":
            changed = [*changed[1:], changed[0]]
        (tmp_path / f"{at}.mha").write_bytes(("\n".join(changed) + "\n").encode() + raw())
    nrrd = NRRD.splitlines()[1:]
    for at, line in enumerate(
        [*nrrd, *(f"{name}: " for name in ("data file", "byte skip", "line skip", "space units"))]
    ):
        name = line.split(": ")[0]
        said = f'"{value}"' if name == "space units" else value
        changed = ["NRRD0004", f"{name}: {said}", *(other for other in nrrd if not other.startswith(f"{name}:"))]
        (tmp_path / f"{at}.nrrd").write_bytes(("\n".join(changed) + "\n\n").encode() + raw())
    errors = {path.name: error for path in tmp_path.iterdir() if (error := _refusal(act, path)) is not None}
    assert len(errors) >= 16
    for name, error in errors.items():
        assert name in error
        assert not any(one in error for one in PLANTED), error


def _refusal(act: Reads, path: Path) -> str | None:
    try:
        act(path)
    except SecondreadError as error:
        return str(error)
    return None


def test_short_numbers_are_repeated(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(
        (META + "LOCAL\n").replace("ElementSpacing = 2 2 3", "ElementSpacing = 2 -2.5e3 x").encode() + raw()
    )
    with pytest.raises(GeometryError, match=r"ElementSpacing should be 3 numbers, found 2 -2\.5e3 \(something else\)"):
        probe(path)
