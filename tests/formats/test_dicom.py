"""DICOM: classic, enhanced, compressed, and what is refused. No error may name the patient."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate

from secondread.errors import FormatError, SeriesError, TruncatedFile, UnsupportedFormat
from secondread.formats import find_scans, probe, read_volume
from secondread.formats.header import reading
from tests.formats.scans import NAME, PATIENT, PLANES, expected_affine, noise, write_enhanced, write_series

VOXELS = noise((10, 9, 6), np.uint16)


@pytest.mark.parametrize("plane", sorted(PLANES))
@pytest.mark.parametrize("suffix", [".dcm", "", ".IMA"])
def test_classic(tmp_path: Path, plane: str, suffix: str) -> None:
    write_series(tmp_path / "s", VOXELS, plane=plane, suffix=suffix, SeriesDescription="T2 TSE")
    volume, header = read_volume(tmp_path / "s"), probe(tmp_path / "s")
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.geometry.affine, expected_affine(plane), atol=1e-6)
    assert header.geometry is not None
    assert header.geometry.matches(volume.geometry, 0)
    assert (header.kind, header.contrast, header.channels, volume.warnings) == ("dicom", "t2", 1, ())


@pytest.mark.parametrize("plane", sorted(PLANES))
def test_enhanced(tmp_path: Path, plane: str) -> None:
    path = write_enhanced(tmp_path / "e.dcm", VOXELS, plane=plane)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.geometry.affine, expected_affine(plane), atol=1e-6)
    assert probe(path).contrast == "t2"
    assert probe(path).group == probe(path).group is not None


def test_rescale(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOXELS, RescaleSlope=2.5, RescaleIntercept=-10)
    np.testing.assert_allclose(read_volume(tmp_path / "s").voxels, VOXELS * 2.5 - 10)
    np.testing.assert_allclose(read_volume(write_enhanced(tmp_path / "e", VOXELS, slope=0.5)).voxels, VOXELS * 0.5)


def test_monochrome1_is_turned_around(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOXELS, PhotometricInterpretation="MONOCHROME1")
    volume = read_volume(tmp_path / "s")
    np.testing.assert_array_equal(volume.voxels, VOXELS.max() - VOXELS)
    assert "MONOCHROME1" in volume.warnings[0]


def _lossless_jpeg(image: NDArray[np.uint16]) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(image, bitspersample=16))


def _jpegls(image: NDArray[np.uint16]) -> bytes:
    return bytes(imagecodecs.jpegls_encode(image))


def _jpeg2000(image: NDArray[np.uint16]) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(image, codecformat="J2K", reversible=True, level=0))


def _rle(image: NDArray[np.uint16]) -> bytes:
    from pydicom.pixels.encoders.native import _encode_segment

    planes = image.astype(">u2").tobytes()
    segments = [bytes(_encode_segment(planes[n::2], image.shape[1])) for n in (0, 1)]
    starts = [64, 64 + len(segments[0])]
    return b"".join(n.to_bytes(4, "little") for n in [2, *starts, *[0] * 13]) + b"".join(segments)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (uid.RLELossless, _rle),
        (uid.JPEGLSLossless, _jpegls),
        (uid.JPEG2000Lossless, _jpeg2000),
        (uid.JPEGLosslessSV1, _lossless_jpeg),
        (uid.JPEGLossless, _lossless_jpeg),
    ],
    ids=lambda v: v.name if isinstance(v, uid.UID) else "",
)
def test_compressed_without_loss(tmp_path: Path, syntax: uid.UID, encode: Callable[[Any], bytes]) -> None:
    voxels = noise((32, 24, 3), np.uint16) * 100
    for k, path in enumerate(write_series(tmp_path / "s", voxels)):
        data = pydicom.dcmread(path)
        data.PixelData = encapsulate([encode(np.ascontiguousarray(voxels[:, :, k].T))])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(tmp_path / "s").voxels, voxels)


@pytest.mark.parametrize(("syntax", "bits"), [(uid.JPEGBaseline8Bit, 8), (uid.JPEGExtended12Bit, 12)])
def test_compressed_with_loss(tmp_path: Path, syntax: uid.UID, bits: int) -> None:
    ramp = np.arange(32)[:, None, None] * 6 + np.arange(24)[None, :, None] + np.zeros((1, 1, 3))
    voxels = (ramp * (1 if bits == 8 else 10)).astype(np.uint16)
    for k, path in enumerate(write_series(tmp_path / "s", voxels)):
        data = pydicom.dcmread(path)
        image = np.ascontiguousarray(voxels[:, :, k].T).astype(np.uint8 if bits == 8 else np.uint16)
        coded = imagecodecs.jpeg8_encode(image, level=98, bitspersample=bits)
        data.PixelData = encapsulate([bytes(coded)])
        data["PixelData"].VR = "OB"
        data.BitsAllocated, data.BitsStored, data.HighBit = 8 if bits == 8 else 16, bits, bits - 1
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, enforce_file_format=True)
    apart = np.abs(read_volume(tmp_path / "s").voxels.astype(float) - voxels)
    assert apart.max() <= (4 if bits == 8 else 20)


def test_compressed_and_damaged(tmp_path: Path) -> None:
    for path in write_series(tmp_path / "s", VOXELS):
        data = pydicom.dcmread(path)
        data.PixelData = encapsulate([b"\xff\xd8\xff\xc3" + bytes(50)])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
        data.save_as(path, enforce_file_format=True)
    probe(tmp_path / "s")
    with pytest.raises(FormatError):
        read_volume(tmp_path / "s")


def test_a_missing_image(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOXELS)[2].unlink()
    for act in (probe, read_volume):
        with pytest.raises(SeriesError, match="missing"):
            act(tmp_path / "s")


def test_several_series_in_one_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOXELS, series="1.2.3", SeriesDescription="t1")
    write_series(tmp_path / "s", VOXELS * 2, series="1.2.4", SeriesDescription="t2", suffix=".ima")
    with pytest.raises(SeriesError, match=r"2 series: 1\.2\.3 \(6 files\); 1\.2\.4 \(6 files\)"):
        probe(tmp_path / "s")
    source = f"{tmp_path / 's'}#series=1.2.4"
    np.testing.assert_array_equal(read_volume(source).voxels, VOXELS * 2)
    assert probe(source).contrast == "t2"
    assert [f.source for f in find_scans(tmp_path)] == [source[:-1] + "3", source]
    with pytest.raises(SeriesError, match="does not hold series 9"):
        probe(f"{tmp_path / 's'}#series=9")


def test_localiser(tmp_path: Path) -> None:
    planes = ["axial", "axial", "sagittal", "sagittal", "coronal", "coronal"]
    path = write_enhanced(tmp_path / "l.dcm", VOXELS, planes=planes)
    with pytest.raises(SeriesError, match="3 orientations among 6 images"):
        probe(path)


def test_perfusion(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "p.dcm", VOXELS, times=4)
    with pytest.raises(FormatError, match=r"4 images at each of 6 positions \(time point 1, 2, 3, 4\): a 4D series"):
        read_volume(path)


def test_the_patient_is_a_hash(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS)
    write_series(tmp_path / "b", VOXELS, plane="sagittal")
    write_series(tmp_path / "c", VOXELS, PatientID="other")
    write_series(tmp_path / "d", VOXELS, PatientID="ANONYMOUS")
    groups = [probe(tmp_path / name).group for name in "abcd"]
    assert groups[0] == groups[1] != groups[2]
    assert groups[3] is None
    assert groups[0] is not None
    assert PATIENT not in groups[0]


def test_no_error_names_the_patient(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    paths = write_series(tmp_path / "s", VOXELS)
    data = paths[0].read_bytes()
    said = []
    for n in range(140, len(data), 23):
        paths[0].write_bytes(data[:n] if n % 2 else data[: n - 4] + b"\xff" * 8 + data[n + 4 :])
        try:
            read_volume(tmp_path / "s")
        except Exception as error:
            said.append(f"{error!r} {error.__cause__!r} {error.__context__ if not error.__suppress_context__ else ''}")
    said += [str(w.message) for w in recwarn]
    assert len(said) > 10
    assert not [s for s in said if NAME in s or PATIENT in s or "Jane" in s]


def test_what_a_parser_says_of_a_patient_is_dropped(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="ValueError") as caught, reading(tmp_path / "a.dcm", private=True):
        raise ValueError(f"bad value {NAME}")
    assert NAME not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_values_that_break_the_rules_are_not_quoted(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pydicom's setting is the whole process's, and may be left as threads that read side by side put it back.
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.WARN)
    with pydicom.config.disable_value_validation():
        paths = write_series(tmp_path / "s", VOXELS, SeriesInstanceUID=NAME)
    assert read_volume(tmp_path / "s").voxels.shape == VOXELS.shape
    assert [w for w in recwarn if NAME in str(w.message)] == []
    assert NAME not in caplog.text
    with pytest.warns(UserWarning, match="Jane"):  # what pydicom alone would say
        _ = pydicom.dcmread(paths[0]).SeriesInstanceUID


def test_an_agent_in_the_header(tmp_path: Path) -> None:
    for name, tags, contrast in (
        ("a", {"SeriesDescription": "t1_mprage", "ContrastBolusAgent": "Gadovist"}, "t1c"),
        ("b", {"SeriesDescription": "t1 pre", "ContrastBolusAgent": "Gadovist"}, "t1"),
        ("c", {"SeriesDescription": "t1", "ContrastBolusAgent": "NONE"}, "t1"),
        ("d", {"EchoTime": 12, "RepetitionTime": 500, "ContrastBolusAgent": "Dotarem"}, "t1c"),
        (
            "e",
            {"EchoTime": 100, "RepetitionTime": 5000, "InversionTime": 2400},
            "flair",
        ),
        ("f", {"ProtocolName": "T2 TSE"}, "t2"),
        ("g", {}, "image"),
    ):
        write_series(tmp_path / name, VOXELS[..., :2], **tags)
        assert probe(tmp_path / name).contrast == contrast, name


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "mosaic"),
        ({"PhotometricInterpretation": "RGB"}, "colour"),
        ({"NumberOfFrames": 2}, "frames"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "segmentation"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient missing"),
    ],
)
def test_images_that_are_no_slice(tmp_path: Path, tags: dict[str, Any], said: str) -> None:
    write_series(tmp_path / "s", noise((10, 9, 6), np.uint16), **tags)
    with pytest.raises(UnsupportedFormat, match=said):
        probe(tmp_path / "s")


def test_truncated(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "s", VOXELS)
    whole = paths[3].read_bytes()
    paths[3].write_bytes(whole[:-20])
    with pytest.raises(TruncatedFile, match=paths[3].name):
        read_volume(tmp_path / "s")
    paths[3].write_bytes(whole[:150])
    with pytest.raises(FormatError, match=paths[3].name):
        read_volume(tmp_path / "s")


def test_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"hello" * 100)
    with pytest.raises(FormatError, match=r"a\.dcm"):
        probe(tmp_path / "a.dcm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="no DICOM image"):
        probe(tmp_path / "empty")


def test_one_file_of_a_series(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "s", VOXELS)
    with pytest.raises(SeriesError, match="whole series"):
        probe(paths[0])


def test_a_colour_capture_beside_a_series_does_not_spoil_it(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS)
    capture = write_series(tmp_path / "other", VOXELS[:, :, :1], PhotometricInterpretation="RGB", SamplesPerPixel=3)
    shutil.copy(capture[0], tmp_path / "capture.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, VOXELS)


def test_an_odd_or_broken_image_of_the_series_itself_does(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS, series="1.2.3")
    capture = write_series(tmp_path / "b", VOXELS[:, :, :1], series="1.2.3", PhotometricInterpretation="YBR_FULL")
    shutil.copy(capture[0], tmp_path / "a" / "capture.dcm")
    with pytest.raises(UnsupportedFormat, match="colour"):
        read_volume(tmp_path / "a")
    broken = write_series(tmp_path / "c", VOXELS)[0]
    broken.write_bytes(broken.read_bytes()[:140])
    with pytest.raises(FormatError, match=broken.name):
        read_volume(tmp_path / "c")
