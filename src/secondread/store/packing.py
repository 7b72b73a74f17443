"""From the rows of an index to a store: read, prepare, quantise, write; parallel, resumable, flat in memory."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.discreet import without_places
from secondread.errors import (
    ChecksumError,
    DataError,
    MaskError,
    ResourceError,
    SecondreadError,
    UsageError,
)
from secondread.store import layout
from secondread.store.layout import Block, Case, Facts, Row
from secondread.store.place import Place, place_of
from secondread.store.sealed import seal, unseal
from secondread.store.shard import encode
from secondread.store.store import Store
from secondread.volume import Frame, Prepared, Recipe, Study, prepare, prepare_mask

Progress = Callable[[str, int, int], None]

QUANTILES = (0.01, 0.5, 0.99)

MASK_POINTS = 256
"""Mask voxels remembered per case, to centre patches on."""


@dataclass(frozen=True)
class _Job:
    """The rows of one block, and the block's name."""

    key: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class _Packed:
    """A complete block: per row what was found, or why the study was left out."""

    block: Block
    found: tuple[Facts | str, ...]


def pack(
    rows: Sequence[Row], recipe: Recipe, where: str | Path | Place, *, progress: Progress | None = None, jobs: int = 2
) -> Store:
    """Pack studies into a folder or ``s3://bucket/prefix`` and open the store.

    Complete blocks of an earlier call are kept, killed or not, as long as the recipe and the studies in them are the
    same; blocks that belong to no row are left where they are. One call per place at a time.

    Args:
        rows: studies, each name once.
        progress: called as ``progress("packing", done, total)`` with numbers of studies.
        jobs: blocks packed at a time; each holds one study, or one block of pictures, in memory.

    Returns:
        The store. A study that could not be read or prepared is in ``Store.excluded``.

    Raises:
        UsageError: two rows of one name, no rows, fewer than one job, a file where the folder is to be.
        DataError: every study had to be left out.
        ResourceError: disk, memory or permission ran out; call again to go on.
    """
    if jobs < 1:
        raise UsageError(f"packing needs at least one job, got {jobs}")
    _check_names(rows)
    place = place_of(where)
    place.begin()
    work = list(_jobs(rows, recipe))
    packed: dict[str, _Packed] = {}
    done = 0
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="pack")
    try:
        waiting: dict[Future[_Packed], _Job] = {pool.submit(_pack_block, job, recipe, place): job for job in work}
        for future in as_completed(waiting):
            job = waiting[future]
            packed[job.key] = future.result()
            done += len(job.rows)
            if progress is not None:
                progress("packing", done, len(rows))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    _write_spec(place, recipe, [(job, packed[job.key]) for job in work])
    return Store.open(place)


def _check_names(rows: Sequence[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.study in seen:
            raise UsageError(f"study {row.study!r} is there twice; a store holds every study once")
        seen.add(row.study)
    if not seen:
        raise UsageError("there are no studies to pack")


def _jobs(rows: Sequence[Row], recipe: Recipe) -> Iterator[_Job]:
    length = layout.block_length(recipe)
    for start in range(0, len(rows), length):
        part = tuple(rows[start : start + length])
        stored = [layout.VERSION, layout.SCALE, layout.OFFSET, layout.CODEC, layout.LEVEL]
        source = json.dumps([stored, asdict(recipe), [_identity(row) for row in part]])
        yield _Job(hashlib.sha256(source.encode()).hexdigest()[:32], part)


def _identity(row: Row) -> list[Any]:
    """What makes a packed study stale when it changes. Labels are not voxels: they may change without packing again."""
    mask: list[Any] | None = None
    if row.mask is not None:
        path = Path(row.mask)
        state = path.stat() if path.exists() else None
        mask = [str(path), state and state.st_size, state and state.st_mtime_ns]
    return [row.study, row.sha256, list(row.contrasts), mask]


def _pack_block(job: _Job, recipe: Recipe, place: Place) -> _Packed:
    earlier = _finished(place, job.key)
    if earlier is not None:
        return earlier
    shape, files, found = _picture_block(job, recipe) if recipe.size is not None else _volume_block(job, recipe)
    if not files:
        # Nothing is written for a block without any good study, so that a later call tries it again.
        return _Packed(Block(job.key, shape, {}), found)
    sums = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}
    packed = _Packed(Block(job.key, shape, sums), found)
    found_out = [facts if isinstance(facts, str) else asdict(facts) for facts in found]
    marker = seal({"block": asdict(packed.block), "found": found_out})
    place.write_block(job.key, files, (layout.MARKER, marker))
    return packed


def _volume_block(job: _Job, recipe: Recipe) -> tuple[tuple[int, ...], dict[str, bytes], tuple[Facts | str, ...]]:
    result = _prepare_row(job.rows[0], recipe)
    if isinstance(result, str):
        return (), {}, (result,)
    image, mask, facts = result
    files = encode("image", image, grouped=False)
    if mask is not None:
        files |= encode("mask", mask, grouped=False)
    return image.shape, files, (facts,)


def _picture_block(job: _Job, recipe: Recipe) -> tuple[tuple[int, ...], dict[str, bytes], tuple[Facts | str, ...]]:
    size = recipe.size or (0, 0)
    shape = (len(job.rows), len(recipe.channels), *size)
    images = np.full(shape, layout.IMAGE_FILL, np.int16)
    masks = np.full((len(job.rows), *size), layout.MASK_FILL, np.uint8)
    found: list[Facts | str] = []
    for place, row in enumerate(job.rows):
        result = _prepare_row(row, recipe)
        if isinstance(result, str):
            found.append(result)
            continue
        images[place], mask, facts = result
        if mask is not None:
            masks[place] = mask
        found.append(facts)
    files: dict[str, bytes] = {}
    if any(isinstance(facts, Facts) for facts in found):
        files = encode("image", images, grouped=True)
    if any(isinstance(facts, Facts) and facts.has_mask for facts in found):
        files |= encode("mask", masks, grouped=True)
    return shape, files, tuple(found)


def _prepare_row(row: Row, recipe: Recipe) -> tuple[NDArray[np.int16], NDArray[np.uint8] | None, Facts] | str:
    """Image (C, S), mask (S), facts; or the reason why this study cannot be packed."""
    try:
        study = read_row(row)
        prepared = prepare(study, recipe)
        image = _quantise(prepared.array)
        mask = _mask(row, study, prepared)
    except ResourceError as error:
        if isinstance(error.__cause__, PermissionError):
            return str(error)  # one file that may not be read; anything else would befall the next study too
        raise
    except MemoryError as error:
        raise ResourceError(f"study {row.study!r}: out of memory; give pack fewer jobs") from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise ResourceError(f"study {row.study!r}: {error.strerror}; give pack fewer jobs") from error
        return f"{error.filename} cannot be read: {error.strerror}"
    except SecondreadError as error:
        return str(error)
    offsets = np.flatnonzero(mask) if mask is not None else np.empty(0, np.intp)
    kept = offsets
    if len(offsets) > MASK_POINTS:
        kept = np.sort(np.random.default_rng(len(offsets)).choice(offsets, MASK_POINTS, replace=False))
    floor = tuple(int(channel.min()) - layout.OFFSET for channel in image)
    points = layout.pack_points(kept)
    return (
        image,
        mask,
        Facts(
            shape=image.shape[1:],
            present=prepared.present,
            has_mask=mask is not None,
            mask_voxels=len(offsets),
            floor=floor,
            points=points,
            box=_box(prepared.frame),
            spacing=() if study.picture is not None else study.reference.geometry.spacing,
            quantiles=tuple(_quantiles(channel) for channel in image),
        ),
    )


def _box(frame: Frame) -> tuple[tuple[int, int], ...]:
    """Per axis of the scan, which voxels the prepared grid covers: the first, and the one after the last."""
    out = [(0, 0)] * len(frame.shape)
    for axis, (scan_axis, flip) in enumerate(zip(frame.order, frame.flips, strict=True)):
        n = frame.shape[scan_axis]
        low = max(0, round(frame.start[axis]))
        high = min(n, round(frame.start[axis] + frame.size[axis] * frame.step[axis]))
        out[scan_axis] = (n - high, n - low) if flip else (low, high)
    return tuple(out)


def read_row(row: Row) -> Study:
    """The study of a row, from its files."""
    from secondread.formats import read_study

    return read_study(row.study, list(row.images), list(row.contrasts))


def _quantise(array: NDArray[np.float32]) -> NDArray[np.int16]:
    """Voxels as stored, (C, S). Prepared voxels are cut at CLIP_Z, far within int16."""
    steps = array * np.float32(1 / layout.SCALE)
    if not np.isfinite(steps.sum(dtype=np.float64)):
        raise DataError("voxels that are no finite numbers are left after normalising")
    np.rint(steps, out=steps)
    steps += layout.OFFSET
    return steps.astype(np.int16)


def _quantiles(stored: NDArray[np.int16]) -> tuple[float, ...]:
    """QUANTILES of a channel, in standard deviations, to the nearest stored step."""
    low = int(stored.min())
    counts = np.bincount(stored.ravel() - low)
    steps = np.searchsorted(counts.cumsum(), np.multiply(QUANTILES, stored.size)) + low - layout.OFFSET
    return tuple(round(float(step) * layout.SCALE, 3) for step in steps)


def _mask(row: Row, study: Study, prepared: Prepared) -> NDArray[np.uint8] | None:
    """The row's mask on the prepared grid (S), values below MASK_FILL."""
    if row.mask is None:
        return None
    from secondread.formats import read_mask

    if study.picture is not None:
        rows, columns = study.picture.pixels.shape[:2]
        labels = read_mask(row.mask, (rows, columns))
        mask = prepared.frame.mask_from_scan(labels)
    else:
        source = read_mask(row.mask, study.reference.geometry)
        labels = source.labels
        mask = prepare_mask(source, study.reference.geometry, prepared.frame)
    if labels.any() and not mask.any():
        mask = _smallest_lesion(labels, prepared.frame)
    return np.minimum(mask, layout.MASK_FILL - 1)


def _smallest_lesion(labels: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """A lesion that covers half of no prepared voxel keeps the one it covers most: it must not turn into "nothing"."""
    share = frame.from_scan((labels > 0).astype(np.float32))
    if share.max() <= 0:
        raise MaskError("the mask lies wholly outside of the scan's foreground")
    mask = np.zeros(frame.size, np.uint8)
    mask[np.unravel_index(int(share.argmax()), frame.size)] = labels.max()
    return mask


def _finished(place: Place, key: str) -> _Packed | None:
    """The block ``key`` if it is complete and its files still have their sizes."""
    where = f"{layout.CASES}/{key}"
    raw = place.read(f"{where}/{layout.MARKER}")
    if raw is None:
        return None
    try:
        content = unseal(raw, f"{place}/{where}/{layout.MARKER}")
    except ChecksumError:
        return None
    block = Block.from_json(content["block"])
    if place.lists_sizes and any(place.size(f"{where}/{name}") != size for name, (size, _) in block.files.items()):
        return None
    if any(isinstance(facts, str) for facts in content["found"]):
        return None  # what kept a study out may have been mended
    return _Packed(block, tuple(Facts.from_json(facts) for facts in content["found"]))


def _write_spec(place: Place, recipe: Recipe, results: Sequence[tuple[_Job, _Packed]]) -> None:
    cases: list[Case] = []
    excluded: list[tuple[str, str]] = []
    for job, packed in results:
        for number, (row, found) in enumerate(zip(job.rows, packed.found, strict=True)):
            reason = found if isinstance(found, str) else _contradiction(row, found)
            if reason is not None:
                excluded.append((row.study, without_places(reason, row.images, row.study)))
            elif isinstance(found, Facts):
                where = None if recipe.size is None else number
                cases.append(Case(job.key, where, row.study, row.group, row.label, row.normal, row.split, found))
    if not cases:
        reasons = "; ".join(f"{study}: {reason}" for study, reason in excluded[:3])
        raise DataError(f"none of the {len(excluded)} studies could be packed ({reasons})")
    used = {case.block for case in cases}
    spec = {
        "version": layout.VERSION,
        "recipe": asdict(recipe),
        "scale": layout.SCALE,
        "offset": layout.OFFSET,
        "blocks": [asdict(packed.block) for job, packed in results if job.key in used],
        "cases": [asdict(case) for case in cases],
        "excluded": excluded,
    }
    place.write(layout.SPEC, seal(spec))


def _contradiction(row: Row, facts: Facts) -> str | None:
    """Why the label and the mask cannot both be right, if so."""
    if facts.has_mask and facts.mask_voxels and row.normal is True:
        return f"labelled {row.label!r}, which is normal, but its mask is not empty"
    if facts.has_mask and not facts.mask_voxels and row.normal is False and row.label is not None:
        return f"labelled {row.label!r}, which is abnormal, but its mask is empty"
    return None
