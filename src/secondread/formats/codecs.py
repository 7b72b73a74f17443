"""Decoders for the JPEG transfer syntaxes that pydicom's own plugins leave out, by imagecodecs.

A pydicom decoding plugin is a module with ``is_available``, ``DECODER_DEPENDENCIES`` and a decoding function (pydicom
guides, "pixel data decoder plugins"); :func:`register` adds this one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

DECODER_DEPENDENCIES = dict.fromkeys(
    (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.HTJ2K, uid.HTJ2KLossless), ("imagecodecs",)
)


def is_available(syntax: str) -> bool:
    """Whether this plugin decodes the transfer syntax."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """One encoded grey frame to the bytes of its (row, column) samples, in the container that the header declares.

    Raises:
        ValueError: the stream's size or depth is not what the header declares.
    """
    import imagecodecs

    decoders: dict[str, Any] = {
        uid.JPEGExtended12Bit: imagecodecs.jpeg8_decode,
        uid.JPEGLossless: imagecodecs.ljpeg_decode,
        uid.JPEGLosslessSV1: imagecodecs.ljpeg_decode,
        uid.HTJ2K: imagecodecs.jpeg2k_decode,
        uid.HTJ2KLossless: imagecodecs.jpeg2k_decode,
    }
    pixels: NDArray[Any] = decoders[runner.transfer_syntax](source)
    if pixels.shape[:2] != (runner.rows, runner.columns):
        raise ValueError(f"the frame is {pixels.shape[:2]}, the header says {(runner.rows, runner.columns)}")
    if pixels.dtype.itemsize > runner.bits_allocated // 8:
        raise ValueError(f"the frame has {pixels.dtype} samples, the header {runner.bits_allocated} bits")
    return bytes(pixels.astype(f"<u{runner.bits_allocated // 8}").tobytes())


@cache
def register() -> None:
    """Make pydicom use this plugin, once."""
    for syntax in DECODER_DEPENDENCIES:
        get_decoder(syntax).add_plugin("secondread", (__name__, "decode_frame"))
