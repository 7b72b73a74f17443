"""Where uploaded files become a study, and a study an answer: one at a time, however many wait."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from secondread.errors import UsageError
from secondread.formats import probe, read_study, write_mask, write_picture_mask
from secondread.serve.readings import Kept, Readings
from secondread.serve.uploads import PICTURE_SUFFIXES, Upload
from secondread.volume import Mask, Study

if TYPE_CHECKING:
    from secondread.infer import Reader, Reading

INTENDED_USE = (
    "A research aid. It is not a medical device, has no regulatory clearance, and must not be used to diagnose, to "
    "treat or to rule out disease."
)


class Desk:
    """A reader, its queue and its finished readings."""

    def __init__(self, reader: Reader, readings: Readings, *, most_at_once: int) -> None:
        self.readings = readings
        self._reader = reader
        self._free = most_at_once
        # A network uses every core by itself, and two at once would need twice the memory.
        self._turn = anyio.CapacityLimiter(1)

    @property
    def has_place(self) -> bool:
        return self._free > 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places. Only called from the event loop, after ``has_place``."""
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    def about(self) -> dict[str, Any]:
        """What ``/v1/model`` says."""
        spec = self._reader.spec
        return {
            "name": spec.name,
            "version": spec.version,
            "sha256": self._reader.sha256,
            "reads": "pictures" if spec.recipe.size is not None else "volumes",
            "contrasts": list(spec.recipe.channels),
            "categories": list(spec.categories),
            "normal": spec.normal,
            "medical_device": False,
            "intended_use": INTENDED_USE,
        }

    async def read(self, key: str, uploads: Sequence[Upload], contrasts: Sequence[str]) -> Kept:
        """Read what was uploaded, when its turn comes, and keep the answer under ``key``.

        Raises:
            UsageError: the files are not one study, or a stated contrast is not one of the model's.
            InputError, RefusedError, ResourceError: as ``formats`` and ``infer`` raise them.
        """
        kept = await anyio.to_thread.run_sync(self._read, key, uploads, contrasts, limiter=self._turn)
        self.readings.add(key, kept)
        return kept

    def _read(self, key: str, uploads: Sequence[Upload], contrasts: Sequence[str]) -> Kept:
        known = self._reader.spec.recipe.channels
        if unknown := [c for c in contrasts if c not in known]:
            raise UsageError(f"{len(unknown)} contrasts that the model does not read; it reads {', '.join(known)}")
        sources = sources_of(uploads, contrasts)
        study = read_study(key, [source for source, _ in sources], [contrast for _, contrast in sources])
        reading = self._reader.read(study)
        here = f"/v1/readings/{key}"
        mask, suffix, address = None, "", None
        if self._reader.spec.task.located:
            mask, suffix = _encode_mask(study, reading, uploads[0].path.parent)
            address = f"{here}/mask"
        findings = dataclasses.replace(reading.findings, study=key, mask=address).to_json()
        findings |= {"id": key, "picture": f"{here}/picture.png"}
        return Kept(findings, mask, suffix, _encode_picture(study, reading))


def sources_of(uploads: Sequence[Upload], contrasts: Sequence[str]) -> list[tuple[Path, str]]:
    """The images of a study and their contrasts; all DICOM files together are one series.

    Args:
        uploads: at least one.
        contrasts: as the peer states them, one per image; none to go by file names, then by headers.

    Raises:
        UsageError: a picture beside other files, or another number of contrasts than of images.
        FormatError: a header cannot be read.
    """
    dicom = [upload for upload in uploads if upload.is_dicom]
    named = [(upload.path, upload.contrast) for upload in uploads if not upload.is_dicom]
    if dicom:
        named.append((dicom[0].path.parent, "image"))
    if len(named) > 1 and any(path.name.endswith(PICTURE_SUFFIXES) for path, _ in named):
        raise UsageError("a picture is read alone: send one at a time")
    if contrasts and len(contrasts) != len(named):
        raise UsageError(f"{len(contrasts)} contrasts are given for {len(named)} images")
    if contrasts:
        return [(path, contrast) for (path, _), contrast in zip(named, contrasts, strict=True)]
    return [(path, contrast if contrast != "image" else probe(path).contrast) for path, contrast in named]


def _encode_mask(study: Study, reading: Reading, folder: Path) -> tuple[bytes, str]:
    """The mask as a file's bytes, and its suffix."""
    suffix = ".png" if study.picture is not None else ".nii.gz"
    path = folder / f"mask{suffix}"
    if study.picture is not None:
        write_picture_mask(reading.mask, path)
    else:
        write_mask(Mask(study.reference.geometry, reading.mask), path)
    return path.read_bytes(), suffix


def _encode_picture(study: Study, reading: Reading) -> bytes:
    from secondread.infer.picture import reading_picture  # infer brings torch: whoever holds a Reader has paid for it

    out = io.BytesIO()
    reading_picture(study, reading, panel=320, caption=False).save(out, "PNG")
    return out.getvalue()
