"""One picture of a reading: the scan, and beside or below it the scan with the evidence drawn over it.

Volumes are shown as three planes through the place of highest evidence, in the radiological convention: the patient's
left on the right, anterior and superior up. Pillow does all of it, so that a reading costs milliseconds.

N is a scan's own grid, (i, j, k) or (row, column).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondread.discreet import printable
from secondread.files import write_whole
from secondread.volume.foreground import box_of, foreground

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    from secondread.infer.reader import Reading
    from secondread.volume import Study

SHOWN_FIRST = ("flair", "t1c", "t2", "t1")
"""Which contrast is shown where a study has several."""

GROUND, INK, FAINT = (0, 0, 0), (238, 240, 243), (150, 157, 166)
MARKED, TRUE = (34, 211, 238), (190, 242, 100)
DECISIONS = {"abnormal": (248, 113, 113), "normal": (74, 222, 128), "unsure": (250, 204, 21)}
RAMP = np.array([(120, 20, 60), (230, 60, 30), (255, 150, 20), (255, 215, 70)], np.float32)
FULL_EVIDENCE_COVER = 0.55
"""How much of the scan full evidence hides."""
LEAST_SHOWN = 0.1
"""Evidence below this stays invisible."""

MARGIN, GAP = 14, 8

SCALE_MM = 20
"""Length of the scale bar below a volume."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane to draw: ``grey`` (row, column, 3) uint8, ``evidence`` (row, column) 0..1, masks (row, column) bool or
    None; ``pixel``: height and width of a pixel, in mm for a volume; ``sides``: of the patient, left and right on the
    wall, where they are known."""

    grey: NDArray[np.uint8]
    evidence: NDArray[np.float32]
    marked: NDArray[np.bool_]
    truth: NDArray[np.bool_] | None
    pixel: tuple[float, float]
    sides: tuple[str, str] | None = None

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width, in the unit of ``pixel``."""
        return self.grey.shape[0] * self.pixel[0], self.grey.shape[1] * self.pixel[1]


def reading_picture(
    study: Study,
    reading: Reading,
    truth: NDArray[np.uint8] | None = None,
    *,
    panel: int = 400,
    caption: bool = True,
) -> Image:
    """Draw a reading.

    Args:
        study: the scan.
        reading: what the model said of it, on the scan's own grid N.
        truth: the true mask (N), drawn dashed where given.
        panel: longest side of one panel, in pixels of the result.
        caption: whether to write the study's name, the answer and a legend around the panels.

    Returns:
        An RGB picture. A picture stands left and its evidence right; a volume's three planes stand in one row and
        their evidence below.
    """
    from PIL import Image

    planes = _picture_planes(study, reading, truth) if study.picture is not None else _planes(study, reading, truth)
    zoom = panel / max(max(plane.extent) for plane in planes)
    plain = [_draw(plane, zoom, evidence=False) for plane in planes]
    drawn = [_draw(plane, zoom, evidence=True) for plane in planes]
    rows = [[plain[0], drawn[0]]] if len(planes) == 1 else [plain, drawn]
    widths = [max(row[c].width for row in rows) for c in range(len(rows[0]))]
    heights = [max(image.height for image in row) for row in rows]
    top, bottom, margin = (MARGIN + 34, 40, MARGIN) if caption else (0, 0, 0)
    width = sum(widths) + GAP * (len(widths) - 1) + 2 * margin
    canvas = Image.new("RGB", (width, sum(heights) + GAP * (len(rows) - 1) + top + bottom), GROUND)
    y = top
    for row, height in zip(rows, heights, strict=True):
        x = margin
        for image, cell in zip(row, widths, strict=True):
            canvas.paste(image, (x + (cell - image.width) // 2, y + (height - image.height) // 2))
            x += cell + GAP
        y += height + GAP
    if caption:
        _caption(canvas, study, reading, truth is not None, zoom)
    return canvas


def save_picture(image: Image, path: Path) -> None:
    """Write a PNG under ``path``, whole or not at all. Raises ResourceError without space or permission."""
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    write_whole(path, buffer.getvalue())


def shown_evidence(reading: Reading) -> NDArray[np.float32]:
    """What is drawn, (N) 0..1: the evidence for anything abnormal; where nothing is normal (cat or dog), that for the
    most probable category."""
    if reading.findings.presence is None:
        names = list(reading.categories)
        return np.asarray(reading.evidence[names.index(max(names, key=lambda n: reading.categories[n]))])
    return np.asarray(reading.evidence.sum(axis=0).clip(0, 1))


def answer(reading: Reading) -> str:
    """The answer in one line: ``abnormal 0.97 · glioma 0.91``."""
    parts = []
    presence = reading.findings.presence
    if presence is not None:
        parts.append(f"{presence.decision}, presence {presence.probability:.2f}")
    if presence is None or (presence.decision != "normal" and len(reading.categories) > 1):
        best = max(reading.categories, key=lambda name: reading.categories[name])
        parts.append(f"{best} {reading.categories[best]:.2f}")
    return " · ".join(parts)


def _picture_planes(study: Study, reading: Reading, truth: NDArray[np.uint8] | None) -> list[Plane]:
    if study.picture is None:
        return []
    pixels = study.picture.pixels.astype(np.float32)
    grey = _window(pixels)
    colour = np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey
    true = None if truth is None else truth > 0
    return [Plane(colour, shown_evidence(reading), reading.mask > 0, true, (1.0, 1.0))]


def _planes(study: Study, reading: Reading, truth: NDArray[np.uint8] | None) -> list[Plane]:
    """Axial, coronal and sagittal planes through the highest evidence (the middle of the scan where there is none)."""
    geometry = study.reference.geometry
    order, flips = geometry.canonical_axes()
    flipped = tuple(a for a, flip in enumerate(flips) if flip)
    scan = np.flip(np.transpose(_shown_scan(study), order), flipped).astype(np.float32, copy=False)
    box, (low, high) = _head_box(scan), _limits(scan)

    def canonical(values: NDArray[Any]) -> NDArray[Any]:
        return np.flip(np.transpose(values, order), flipped)[box]

    scan, evidence, marked = scan[box], canonical(shown_evidence(reading)), canonical(reading.mask > 0)
    true = None if truth is None else canonical(truth > 0)
    seen = float(evidence.max() - evidence.min()) > 1e-3
    at = np.unravel_index(int(evidence.argmax()), evidence.shape) if seen else [n // 2 for n in scan.shape]
    mm = [geometry.spacing[o] for o in order]
    planes = []
    for fixed, down, across, sides in ((2, 1, 0, "RL"), (1, 2, 0, "RL"), (0, 2, 1, "AP")):
        cut = partial(_cut, fixed=fixed, at=int(at[fixed]))
        grey = np.repeat(_window(cut(scan)[..., None], low, high), 3, axis=2)
        outline = None if true is None else cut(true)
        pixel = mm[down], mm[across]
        planes.append(Plane(grey, cut(evidence), cut(marked), outline, pixel, (sides[0], sides[1])))
    return planes


def _cut(values: NDArray[Any], *, fixed: int, at: int) -> NDArray[Any]:
    """Plane ``at`` of axis ``fixed`` of an (L, P, S) array as it hangs on the wall: anterior or superior up, patient's
    left (coronal, axial) or posterior (sagittal) on the right."""
    plane = np.take(values, at, axis=fixed).T
    return np.asarray(plane if fixed == 2 else plane[::-1])


def _head_box(scan: NDArray[np.float32]) -> tuple[slice, ...]:
    """Where the head is, with a margin of a twentieth: air around it would only make it smaller."""
    low, high = box_of(foreground(scan))
    margins = [max(1, (last - first) // 20) for first, last in zip(low, high, strict=True)]
    return tuple(
        slice(max(0, first - margin), min(n, last + margin))
        for first, last, margin, n in zip(low, high, margins, scan.shape, strict=True)
    )


def _limits(scan: NDArray[np.float32]) -> tuple[float, float]:
    """Black and white of a scan: its darkest voxels, and all but the brightest five in a thousand of the head."""
    inside = scan[foreground(scan)]
    return float(scan.min()), float(np.percentile(inside if inside.size else scan, 99.5))


def _shown_scan(study: Study) -> NDArray[Any]:
    reference = study.reference
    for name in SHOWN_FIRST:
        volume = study.series.get(name)
        if volume is not None and volume.geometry.matches(reference.geometry):
            return volume.voxels
    return reference.voxels


def _window(values: NDArray[np.float32], low: float | None = None, high: float | None = None) -> NDArray[np.uint8]:
    """Grey values to 0..255: between the given limits, or the whole range of 8-bit pictures, or what there is."""
    if low is None or high is None:
        low, high = (0.0, 255.0) if values.max() <= 255 else (float(values.min()), float(values.max()))
    scaled = (values - low) / max(high - low, 1e-6)
    return np.asarray((scaled.clip(0, 1) * 255).astype(np.uint8))


def _draw(plane: Plane, zoom: float, *, evidence: bool) -> Image:
    """A panel at ``zoom`` pixels per unit of the plane's extent."""
    from PIL import Image

    height, width = plane.extent
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    image = Image.fromarray(np.ascontiguousarray(plane.grey)).resize(size, Image.Resampling.BICUBIC)
    if not evidence:
        _sides(image, plane)
        return image
    canvas = np.asarray(image, np.float32)
    heat = _resized(plane.evidence, size).clip(0, 1)
    strength = ((heat - LEAST_SHOWN) / (1 - LEAST_SHOWN)).clip(0, 1)
    cover = (FULL_EVIDENCE_COVER * np.sqrt(strength))[..., None]
    canvas = canvas * (1 - cover) + _coloured(strength) * cover
    # Black under the line keeps a contour visible on bright fat and on dark air alike.
    for mask, colour, dashed in ((plane.marked, MARKED, False), (plane.truth, TRUE, True)):
        if mask is not None and mask.any():
            line = _contour(_resized(mask.astype(np.float32), size) >= 0.5)
            if dashed:
                line &= (np.indices(line.shape).sum(axis=0) // 5) % 2 == 0
            canvas[_thick(line)] *= 0.35
            canvas[line] = colour
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))


def _sides(image: Image, plane: Plane) -> None:
    """Write at its borders which side of the patient is which."""
    from PIL import ImageDraw

    if plane.sides is None:
        return
    draw = ImageDraw.Draw(image)
    for side, x, anchor in ((plane.sides[0], 4, "lm"), (plane.sides[1], image.width - 4, "rm")):
        # A black rim keeps the letter legible where the head reaches the border.
        at = x, image.height // 2
        draw.text(at, side, fill=INK, font=_font(13, bold=True), anchor=anchor, stroke_width=2, stroke_fill=GROUND)


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32)


def _coloured(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    """(row, column) 0..1 -> (row, column, 3) along RAMP."""
    stops = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(strength, stops, RAMP[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def _contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch the outside: a line one to two pixels wide."""
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask, iterations=2, border_value=1))


def _thick(line: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(line))


def _caption(canvas: Image, study: Study, reading: Reading, with_truth: bool, zoom: float) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    presence = reading.findings.presence
    said = answer(reading)
    colour = INK if presence is None else DECISIONS[presence.decision]
    font = _font(15, bold=True)
    said_width = draw.textlength(said, font=font)
    draw.text((canvas.width - MARGIN - said_width, MARGIN), said, fill=colour, font=font)
    room = canvas.width - said_width - 3 * MARGIN
    draw.text((MARGIN, MARGIN), _shortened(draw, study.name, _font(15), room), fill=INK, font=_font(15))
    x, y = MARGIN, canvas.height - 28
    x = _legend_ramp(draw, x, y)
    entries = [("marked by the model", MARKED)] if reading.mask.any() else []
    entries += [("true outline", TRUE)] if with_truth else []
    for text, ink in entries:
        draw.line((x, y + 8, x + 20, y + 8), fill=ink, width=2)
        draw.text((x + 26, y), text, fill=FAINT, font=_font(12))
        x += 26 + int(draw.textlength(text, font=_font(12))) + 18
    if study.picture is None:
        _legend_scale(draw, x, y, zoom, canvas.width - MARGIN)


def _legend_scale(draw: ImageDraw, x: int, y: int, zoom: float, right: float) -> None:
    """A bar of SCALE_MM between two ticks, for panels at ``zoom`` pixels a mm; none where it would pass ``right``."""
    text, end = f"{SCALE_MM} mm", x + round(SCALE_MM * zoom)
    if end + 8 + draw.textlength(text, font=_font(12)) > right:
        return
    draw.line((x, y + 8, end, y + 8), fill=FAINT, width=1)
    for tick in (x, end):
        draw.line((tick, y + 4, tick, y + 12), fill=FAINT, width=1)
    draw.text((end + 8, y), text, fill=FAINT, font=_font(12))


def _legend_ramp(draw: ImageDraw, x: int, y: int) -> int:
    """The colours of evidence, 0 to 1; returns where the next entry may begin."""
    colours = _coloured(np.linspace(0, 1, 60, dtype=np.float32)[None])[0]
    for step, colour in enumerate(colours):
        draw.line((x + step, y + 3, x + step, y + 13), fill=tuple(int(c) for c in colour))
    text = f"evidence {LEAST_SHOWN:g} to 1"
    draw.text((x + 68, y), text, fill=FAINT, font=_font(12))
    return x + 68 + int(draw.textlength(text, font=_font(12))) + 18


def _shortened(draw: ImageDraw, text: str, font: FreeTypeFont, room: float) -> str:
    text = printable(text)
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength("…" + text, font=font) > room:
        # The end of a path tells studies apart, its beginning rarely does.
        text = text[1:]
    return "…" + text


@cache
def _font(size: int, bold: bool = False) -> FreeTypeFont:
    """DejaVu Sans, which matplotlib ships: letters of most alphabets, the same on every machine."""
    import matplotlib as mpl
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size)
