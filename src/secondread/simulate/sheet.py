"""One picture of many studies, to see at a glance whether the scans look like heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from secondread.simulate.lesions import CORE, ENHANCING, OEDEMA
from secondread.volume import Geometry, Mask, Study

_SIDE_MM = 220.0
_SIDE_PX = 220
_CAPTION_PX = 16
_ACROSS = 2
_USUAL_HEIGHT = 0.62
"""Share of the scan's height at which a study without lesion is cut: about the ventricles."""

_COLOURS = {CORE: (255, 80, 80), OEDEMA: (90, 220, 90), ENHANCING: (255, 210, 60)}


def strip(study: Study, mask: Mask) -> NDArray[np.uint8]:
    """One axial slice of each series, and the last once more with the lesions outlined.

    The slice is where the mask is largest. Patient's left is on the right, front at the top.

    Returns:
        (row, column, red green blue) uint8.
    """
    labels = _upright(mask.labels, mask.geometry)
    areas = np.count_nonzero(labels, axis=(0, 1))
    k = int(areas.argmax()) if areas.any() else round(_USUAL_HEIGHT * (labels.shape[2] - 1))
    grey = [_grey(_upright(v.voxels, v.geometry)[:, :, k]) for v in study.series.values()]
    tiles = [_tile(np.repeat(g[..., None], 3, axis=2), mask.geometry) for g in grey]
    return np.hstack([*tiles, _outlined(tiles[-1], _tile(labels[:, :, k], mask.geometry))])


def contact_sheet(strips: Sequence[NDArray[np.uint8]], captions: Sequence[str]) -> Image.Image:
    """The strips of several studies, each under its caption."""
    height, width = strips[0].shape[:2]
    rows = -(-len(strips) // _ACROSS)
    across = min(_ACROSS, len(strips))
    sheet = Image.new("RGB", (across * (width + 4), rows * (height + _CAPTION_PX)))
    draw = ImageDraw.Draw(sheet)
    for n, (pixels, caption) in enumerate(zip(strips, captions, strict=True)):
        x, y = n % _ACROSS * (width + 4), n // _ACROSS * (height + _CAPTION_PX)
        draw.text((x + 4, y + 2), caption, fill=(230, 230, 230))
        sheet.paste(Image.fromarray(pixels), (x, y + _CAPTION_PX))
    return sheet


def _upright(values: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    order, flips = geometry.canonical_axes()
    return np.asarray(np.flip(np.transpose(values, order), tuple(a for a, flip in enumerate(flips) if flip)))


def _grey(plane: NDArray[Any]) -> NDArray[np.uint8]:
    values = plane.astype(np.float32)
    low, high = np.percentile(values, (1, 99.7))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255, np.uint8)


def _tile(plane: NDArray[Any], geometry: Geometry) -> NDArray[np.uint8]:
    """A plane (L, P) or (L, P, colour) on a square of fixed size in mm, as (row, column) or (row, column, colour)."""
    px = _SIDE_PX / _SIDE_MM
    order, _ = geometry.canonical_axes()
    size = [max(1, round(n * geometry.spacing[o] * px)) for n, o in zip(plane.shape[:2], order[:2], strict=True)]
    colour = plane.ndim == 3
    image = Image.fromarray(np.ascontiguousarray(np.swapaxes(plane, 0, 1), np.uint8))
    way = Image.Resampling.BICUBIC if colour else Image.Resampling.NEAREST
    square = Image.new(image.mode, (_SIDE_PX, _SIDE_PX))
    square.paste(image.resize((size[0], size[1]), way), ((_SIDE_PX - size[0]) // 2, (_SIDE_PX - size[1]) // 2))
    return np.asarray(square)


def _outlined(tile: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from scipy.ndimage import binary_erosion

    out = tile.copy()
    # The whole lesion last: its border is what the eye looks for.
    for label, colour in _COLOURS.items():
        region = labels == label
        out[region & ~binary_erosion(region)] = colour
    whole = labels > 0
    out[whole & ~binary_erosion(whole)] = (80, 200, 255)
    return out
