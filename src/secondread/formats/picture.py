"""PNG, JPEG and TIFF pictures (BMP, GIF and WebP too) by Pillow, grey or in colour, 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from secondread.errors import FormatError, TooLarge, TruncatedFile, UnsupportedFormat
from secondread.formats.contrast import UNKNOWN
from secondread.formats.header import MAX_PIXELS, MIN_PICTURE_SIDE, Header, check_not_empty, reading
from secondread.volume import Picture

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")


def probe(path: Path) -> Header:
    """The header of a picture. The pixels are decoded (pictures are small): only they tell grey from colour, and
    whether the file is whole. Raises FormatError kinds."""
    picture = read(path)
    rows, columns, channels = picture.pixels.shape
    return Header("picture", (rows, columns), None, channels, UNKNOWN, warnings=picture.warnings)


def read(path: Path) -> Picture:
    """A picture as (row, column, channel): uint8, or uint16 for 16-bit grey; upright by its EXIF orientation.

    Palette and CMYK become RGB, transparency is laid over black, bilevel is 0 and 255, and RGB whose three colours
    are equal everywhere becomes one channel. Pillow reads 16-bit colour as 8 bits.

    Raises:
        FormatError: no picture, damaged, a side below MIN_PICTURE_SIDE, several pages, all pixels equal.
        TruncatedFile: it ends early. TooLarge: more than MAX_PIXELS. UnsupportedFormat: an unknown colour space.
    """
    with opened(path) as image:
        if min(image.size) < MIN_PICTURE_SIDE:
            raise FormatError(
                f"{path} is {image.width} x {image.height} pixels; a picture needs {MIN_PICTURE_SIDE} along each side"
            )
        upright = ImageOps.exif_transpose(image)
        pixels, warnings = _pixels(upright, path)
    if pixels.min() == pixels.max():
        raise FormatError(f"{path}: every pixel has the value {pixels.flat[0]}, there is nothing to read")
    if pixels.shape[2] == 3 and (pixels[..., :1] == pixels[..., 1:]).all():
        pixels = np.ascontiguousarray(pixels[..., :1])
    return Picture(pixels, warnings)


def check(path: Path) -> None:
    """Whether the file opens as a picture of a size that is read; pixels are not decoded. Raises as :func:`read`."""
    with opened(path) as image:
        if min(image.size) < MIN_PICTURE_SIDE:
            raise FormatError(f"{path} is {image.width} x {image.height} pixels, less than {MIN_PICTURE_SIDE}")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A Pillow image, its size checked, not decoded yet; errors of Pillow while it is open join the error tree."""
    with reading(path):
        check_not_empty(path)
        try:
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise TooLarge(f"{path} is {image.width} x {image.height} pixels, the cap is {MAX_PIXELS}")
                if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # a phone's JPEG with a preview
                    raise FormatError(f"{path} holds {getattr(image, 'n_frames', 1)} pages; a picture has one")
                yield image
        except UnidentifiedImageError:
            raise FormatError(f"{path} is no picture that can be read, or its header is damaged") from None
        except Image.DecompressionBombError:
            raise TooLarge(f"{path} has more pixels than the cap of {MAX_PIXELS}") from None
        except OSError as error:
            if any(word in str(error).lower() for word in ("truncated", "broken data stream", "-2 when reading")):
                raise TruncatedFile(f"{path} ends before its last pixel; copy it again") from error
            raise


def _pixels(image: Image.Image, path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    warnings: tuple[str, ...] = ()
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    if image.mode in ("LA", "La", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            warnings = ("transparent parts were laid over black",)
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
        image = image.convert("RGB")
    if image.mode.startswith("I"):
        return _sixteen_bits(image, path), warnings
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("CMYK", "YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
    if image.mode not in ("L", "RGB"):
        raise UnsupportedFormat(f"{path}: colour mode {image.mode} is not supported; save it as grey or RGB")
    pixels = np.asarray(image)
    return (pixels[..., None] if pixels.ndim == 2 else pixels), warnings


def _sixteen_bits(image: Image.Image, path: Path) -> NDArray[np.uint16]:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise UnsupportedFormat(f"{path}: grey values {values.min()} to {values.max()} do not fit 16 bits")
    return values.astype(np.uint16)[..., None]
