"""Pictures of every mode, and bad ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.errors import FormatError, TooLarge, TruncatedFile, UnsupportedFormat
from secondread.formats import MAX_PIXELS, probe, read_picture, read_volume

GREY = (np.arange(20)[:, None] * 6 + np.arange(30)[None, :] * 4).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_grey_and_colour_without_loss(tmp_path: Path, suffix: str) -> None:
    np.testing.assert_array_equal(
        read_picture(save(tmp_path / f"g{suffix}", Image.fromarray(GREY))).pixels[..., 0], GREY
    )
    path = save(tmp_path / f"c{suffix}", Image.fromarray(COLOUR))
    np.testing.assert_array_equal(read_picture(path).pixels, COLOUR)
    header = probe(path)
    assert (header.kind, header.shape, header.channels, header.geometry) == ("picture", (20, 30), 3, None)


def test_grey_stored_as_rgb_has_one_channel(tmp_path: Path) -> None:
    path = save(tmp_path / "g.jpg", Image.fromarray(GREY).convert("RGB"), quality=95)
    assert probe(path).channels == 1
    assert read_picture(path).pixels.shape == (20, 30, 1)


def test_sixteen_bits(tmp_path: Path) -> None:
    values = GREY.astype(np.uint16) * 200
    for suffix in (".png", ".tif"):
        pixels = read_picture(save(tmp_path / f"a{suffix}", Image.fromarray(values))).pixels
        assert pixels.dtype == np.uint16
        np.testing.assert_array_equal(pixels[..., 0], values)


def test_bilevel_palette_and_cmyk(tmp_path: Path) -> None:
    bilevel = read_picture(save(tmp_path / "b.png", Image.fromarray(GREY > 90))).pixels
    np.testing.assert_array_equal(bilevel[..., 0], (GREY > 90) * np.uint8(255))
    palette = Image.fromarray(COLOUR).quantize(32)
    np.testing.assert_array_equal(
        read_picture(save(tmp_path / "p.png", palette)).pixels, np.asarray(palette.convert("RGB"))
    )
    grey = read_picture(save(tmp_path / "q.png", Image.fromarray(GREY).quantize(32)))
    assert grey.pixels.shape == (20, 30, 1)
    cmyk = read_picture(save(tmp_path / "c.jpg", Image.fromarray(COLOUR).convert("CMYK"), quality=100))
    assert np.abs(cmyk.pixels.astype(int) - COLOUR).mean() < 12


def test_transparency_is_laid_over_black(tmp_path: Path) -> None:
    alpha = np.full(GREY.shape, 255, np.uint8)
    solid = read_picture(save(tmp_path / "s.png", Image.fromarray(np.dstack([COLOUR, alpha]))))
    np.testing.assert_array_equal(solid.pixels, COLOUR)
    assert solid.warnings == ()
    alpha[:5] = 0
    holed = read_picture(save(tmp_path / "h.png", Image.fromarray(np.dstack([COLOUR, alpha]))))
    assert (holed.pixels[:5] == 0).all()
    np.testing.assert_array_equal(holed.pixels[5:], COLOUR[5:])
    assert "transparent" in holed.warnings[0]


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path: Path, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "e.png", Image.fromarray(GREY), exif=exif)
    np.testing.assert_array_equal(read_picture(path).pixels[..., 0], np.rot90(GREY, turns))
    assert probe(path).shape == np.rot90(GREY, turns).shape


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (100, 7)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    path = save(tmp_path / "a.png", Image.new("L", size))
    with pytest.raises(FormatError, match=f"{size[0]} x {size[1]}"):
        probe(path)


def test_one_tone(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="every pixel has the value 9"):
        read_picture(save(tmp_path / "a.png", Image.new("L", (20, 20), 9)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noisy = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    path = save(tmp_path / f"a{suffix}", Image.fromarray(noisy))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(FormatError, match=path.name) as caught:
        read_picture(path)
    if suffix != ".tif":  # a TIFF keeps its directory at the end: what is left is no TIFF
        assert isinstance(caught.value, TruncatedFile)
    path.write_bytes(b"")
    with pytest.raises(TruncatedFile, match="empty"):
        probe(path)


def test_a_bomb(tmp_path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for side in (9000, 60000):
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        assert side * side > MAX_PIXELS
        path = tmp_path / f"{side}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
        with pytest.raises(TooLarge, match="cap"):
            probe(path)


def test_several_pages(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[::-1])]
    path = save(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    with pytest.raises(FormatError, match="2 pages"):
        probe(path)


def test_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture at all")
    with pytest.raises(FormatError, match="no picture"):
        probe(tmp_path / "a.png")
    save(tmp_path / "f.tif", Image.fromarray(GREY.astype(np.float32)))
    with pytest.raises(UnsupportedFormat, match="mode F"):
        probe(tmp_path / "f.tif")


def test_a_path_with_spaces_and_any_letters(tmp_path: Path) -> None:
    folder = tmp_path / "кошки und Hunde 猫"
    folder.mkdir()
    assert probe(save(folder / "ä b #1.jpg", Image.fromarray(COLOUR))).channels == 3


def test_a_picture_is_no_volume(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(GREY))
    with pytest.raises(UnsupportedFormat, match="picture"):
        read_volume(path)
