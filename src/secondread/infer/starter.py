"""The model that comes with the package: for the first day, when there is nothing to learn from yet.

One set of weights and two descriptions of it: ``pictures.json``, and ``volumes.json`` for volumes, which it reads
slice by slice. ``CARD.md`` beside them says how it was made, what it was measured on and what it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from secondread.errors import UsageError
from secondread.infer.reader import Reader, Reading, load_model
from secondread.infer.slicewise import CLEAREST
from secondread.infer.spec import open_description, open_model
from secondread.models import NetworkSpec, SecondReader
from secondread.volume import Geometry, Study

STARTER = Path(__file__).parent / "starter"
PICTURES, VOLUMES = "pictures.json", "volumes.json"

_MODEL_SIGNS = ("model.json", "manifest.json", "plan.json", "model/model.json")
"""What a model, a run or what is left of one holds, and no folder of scans."""

SAID = (
    "no model named: reading with the starter model, which has learned from simulated scans alone. It is a research "
    "aid, and less sure than a model that you train: secondread train DATA -o RUN"
)

WARNING = (
    "read by the starter model, which has learned from simulated scans alone and cannot tell what is no head MRI: "
    "a research aid; train a model on scans like this one before anything is made of it"
)


HEAD_MM = 90.0
"""A slice of a head is wider and higher than this; of a scan that is not, the starter is *unsure*."""


class Starter:
    """Reads pictures and volumes as :class:`Reader` does, and says in each answer what it is.

    Raises:
        DataError, ChecksumError: the package's files are damaged.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.pictures, self.volumes = (Reader(*open_model(STARTER, name), device) for name in (PICTURES, VOLUMES))

    @property
    def classes(self) -> tuple[str, ...]:
        """As :attr:`Reader.classes`."""
        return self.pictures.classes

    def read(self, study: Study) -> Reading:
        """As :meth:`Reader.read`; *unsure* of a volume that is too small to show a head."""
        reading = (self.volumes if study.picture is None else self.pictures).read(study)
        said = reading.findings
        findings = replace(said, warnings=(WARNING, *said.warnings))
        if study.picture is None and (small := _too_small(study.reference.geometry)) and said.presence:
            unsure = replace(said.presence, decision="unsure")
            findings = replace(findings, presence=unsure, warnings=(*findings.warnings, small))
        return replace(reading, findings=findings)


def _too_small(geometry: Geometry) -> str:
    """Why no head can be in a volume of this geometry; empty where one can."""
    extents = [n * mm for n, mm in zip(geometry.shape, geometry.spacing, strict=True)]
    if sorted(extents)[1] >= HEAD_MM:
        return ""
    covered = " x ".join(f"{mm:.0f}" for mm in extents)
    return f"the scan covers {covered} mm, too little for a head: *unsure*, whatever the figures say"


def reader_for(paths: Sequence[Path], device: str = "cpu") -> tuple[Reader | Starter, list[Path], str]:
    """Who reads: the model or run that comes first, else the starter; the scans; and what to say of it.

    Raises:
        UsageError: a model and no scans. DataError, ChecksumError: as :func:`secondread.infer.load_model`.
    """
    first = paths[0]
    if not any((first / name).exists() for name in _MODEL_SIGNS):
        return Starter(device), list(paths), SAID
    if len(paths) == 1:
        raise UsageError(f"{first} is a model: name the scans that it is to read after it")
    return load_model(first, device), list(paths[1:]), ""


def begin_with_starter(network: SecondReader, categories: Sequence[str], channels: Sequence[str]) -> None:
    """Give ``network`` the starter's weights, in place.

    Whatever is alike in both is taken over. A first convolution of several ``channels`` gets the starter's one for the
    contrast in which it sees most, and zeros for the others; where none is known to it, they share it. Evidence of a
    category that the starter knows by name begins as the starter's, that of another as the mean of all of them:
    "something is here" is known, what it is is not.

    Raises:
        UsageError: a network that does not fit, see :func:`fits`.
        DataError, ChecksumError: the package's files are damaged.
    """
    spec, starter, _ = open_model(STARTER, PICTURES)
    if not fits(network.spec):
        raise UsageError("the starter model is of another network: train with --cold")
    own, theirs = network.state_dict(), starter.state_dict()
    known = [_known_as(name, spec.categories) for name in categories]
    same = tuple(categories) == spec.categories
    for name, value in own.items():
        given = theirs.get(name)
        if given is None:
            continue
        if given.shape == value.shape and (same or not name.startswith(_BY_CATEGORY)):
            value.copy_(given)
        elif name == _FIRST:
            clearest = next((channels.index(name) for name in CLEAREST if name in channels), None)
            share = torch.ones(value.shape[1]) / value.shape[1]
            if clearest is not None:
                share = torch.zeros(value.shape[1]).index_fill(0, torch.tensor(clearest), 1.0)
            value.copy_(given * share[:, None, None])
        elif name.startswith("evidence.") and given.shape[1:] == value.shape[1:]:
            value.copy_(torch.stack([given.mean(0) if at is None else given[at] for at in known]))


_FIRST = "backbone.stem.0.weight"
_BY_CATEGORY = ("evidence.", "context.2.")


def _known_as(name: str, categories: Sequence[str]) -> int | None:
    """Which of the starter's categories a data set's name means: ``glioma_tumor`` is a glioma."""
    return next((at for at, category in enumerate(categories) if category in name.lower()), None)


def fits(spec: NetworkSpec) -> bool:
    """Whether a network can begin with the starter's weights: all but channels and categories is alike.

    Raises:
        DataError: the package's files are damaged.
    """
    own = open_description(STARTER, PICTURES).network
    return replace(spec, channels=own.channels, categories=own.categories, dropout=own.dropout, decoder=True) == own
