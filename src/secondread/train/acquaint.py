"""Fitting :class:`secondread.infer.Familiarity` at the end of training.

Axes: C channels, S the prepared grid, D numbers of a view, n studies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.infer import Familiarity, Table, View, predict
from secondread.infer.familiarity import VIEWS, Whitening, classifier_input, raw_scores, views_of
from secondread.infer.predict import Network
from secondread.store import Batch, Case

RATE = 0.03
"""Share of the validation studies that the threshold leaves outside. Below the 5 % that may be flagged of a new
hospital's scans, since a few dozen validation groups say little about the next ones."""

MOST_STUDIES = {2: 500, 3: 64}
"""Studies of either split that are looked at, by dimensions: more cost time and change little."""

FEWEST_TRAINING, FEWEST_VALIDATION = 40, 12
"""Studies below which nothing is fitted: a spread of so few says nothing of the next."""

DIRECTIONS = {"tones": 32, "layout": 40, "features": 48}
STUDIES_PER_DIRECTION = 5
HIDDEN = 48
BLOCKS = 4
"""Blocks along each axis that are shuffled."""

Floats = NDArray[np.float32]
Rows = dict[str, Floats]


def fit_familiarity(
    network: Network,
    training: Iterable[Batch],
    validation: Iterable[Batch],
    patch: Sequence[int],
    device: str,
    seed: int,
) -> Familiarity | None:
    """Fit on training studies, set the threshold on validation studies; None where there are too few of either.

    Args:
        network: in evaluation mode.
        training, validation: whole studies, the former not more than MOST_STUDIES.
        seed: of what is spoiled and how.
    """
    rng = np.random.default_rng([seed, 7])
    held = _rows(network, validation, patch, device, rng, spoil_too=False)[0]
    if len(held["tones"]) < FEWEST_VALIDATION:
        return None
    seen, spoiled = _rows(network, training, patch, device, rng, spoil_too=True)
    if len(seen["tones"]) < FEWEST_TRAINING:
        return None
    views = {name: whiten(seen[name], DIRECTIONS[name]) for name in VIEWS}
    order = _learn_order({n: views[n](seen[n]) for n in VIEWS}, {n: views[n](spoiled[n]) for n in VIEWS}, seed)
    scores = raw_scores(held, views, order)
    middle = np.median(scores, axis=0)
    width = np.maximum(np.quantile(scores, 0.95, axis=0) - middle, 1e-3)
    largest = ((scores - middle) / width).max(axis=1)
    hidden, hidden_bias, output, output_bias = order
    return Familiarity(
        views={
            name: View(
                mean=Table.of(w.mean),
                deviation=Table.of(w.deviation),
                centre=Table.of(w.centre),
                directions=Table.of(w.directions),
            )
            for name, w in views.items()
        },
        hidden=Table.of(hidden),
        hidden_bias=Table.of(hidden_bias),
        output=Table.of(output),
        output_bias=output_bias,
        middle=Table.of(middle),
        width=Table.of(width),
        threshold=max(1e-3, upper_quantile(largest, RATE)),
        rate=RATE,
        studies=len(largest),
    )


def spread(cases: Sequence[Case], most: int) -> list[Case]:
    """At most ``most`` of the cases, evenly from all of them."""
    return [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, min(most, len(cases))).astype(int))]


def upper_quantile(values: NDArray[np.floating], rate: float) -> float:
    """The value that at most ``rate`` of a new one like these exceed: the ceil((n + 1)(1 - rate))-th smallest (Vovk
    2005); the largest where n is too small for that."""
    place = int(np.ceil((len(values) + 1) * (1 - rate) - 1e-9))
    return float(np.sort(values)[min(place, len(values)) - 1])


def whiten(rows: Floats, most: int) -> Whitening:
    """Principal directions of ``rows`` (n, D), as many as n allows and at most ``most``, scaled to variance 1."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    standard = Whitening(mean, deviation, np.zeros_like(mean), np.eye(len(mean), dtype=np.float32))(rows)
    centre = standard.mean(axis=0)
    _, spread, directions = np.linalg.svd(standard - centre, full_matrices=False)
    kept = max(1, min(most, len(rows) // STUDIES_PER_DIRECTION, int((spread > 1e-3 * spread[0]).sum())))
    scale = np.maximum(spread[:kept] / np.sqrt(len(rows)), 1e-6)
    return Whitening(mean, deviation, centre, (directions[:kept] / scale[:, None]).astype(np.float32))


def spoil(array: Floats, kind: int, rng: np.random.Generator) -> Floats:
    """A prepared scan (C, S) as none should be: one of :data:`SPOILERS` by number, half of them mirrored besides."""
    out = SPOILERS[kind % len(SPOILERS)](array, rng)
    # Axis 1 is left-right for volumes, axis 2 for pictures.
    sideways = 1 if array.ndim == 4 else 2
    return np.ascontiguousarray(np.flip(out, sideways) if rng.random() < 0.5 else out)


def _upside_down(array: Floats, _: np.random.Generator) -> Floats:
    # A volume's last axis is Superior, a picture's first its rows.
    return np.flip(array, 3 if array.ndim == 4 else 1)


def _turned(array: Floats, rng: np.random.Generator) -> Floats:
    """By a quarter; a volume about any axis."""
    axes = rng.permutation(np.arange(1, array.ndim))[:2]
    return np.rot90(array, int(rng.choice([1, 3])), (int(axes[0]), int(axes[1])))


def _shuffled(array: Floats, rng: np.random.Generator) -> Floats:
    """Blocks in another order; what does not fit into whole blocks is cut off."""
    cut = array[(slice(None), *(slice(0, n // BLOCKS * BLOCKS or n) for n in array.shape[1:]))]
    pieces = [cut]
    for axis in range(1, array.ndim):
        count = BLOCKS if cut.shape[axis] >= BLOCKS else 1
        pieces = [part for piece in pieces for part in np.split(piece, count, axis)]
    pieces = [pieces[i] for i in rng.permutation(len(pieces))]
    for axis in reversed(range(1, array.ndim)):
        count = BLOCKS if cut.shape[axis] >= BLOCKS else 1
        pieces = [np.concatenate(pieces[i : i + count], axis) for i in range(0, len(pieces), count)]
    return pieces[0]


def _scrambled(array: Floats, rng: np.random.Generator) -> Floats:
    """The same spectrum with phases of chance: texture without anatomy."""
    axes = tuple(range(1, array.ndim))
    spectrum = np.fft.rfftn(array, axes=axes)
    phase = np.exp(2j * np.pi * rng.random(spectrum.shape[1:]))
    out: Floats = np.fft.irfftn(spectrum * phase, s=array.shape[1:], axes=axes).astype(np.float32)
    return out


SPOILERS: tuple[Callable[[Floats, np.random.Generator], Floats], ...] = (
    _upside_down, _turned, _upside_down, _shuffled, _upside_down, _scrambled,
)  # fmt: skip
"""Upside down counts for half: it is the likeliest in earnest, and the hardest to see."""


def _rows(
    network: Network,
    batches: Iterable[Batch],
    patch: Sequence[int],
    device: str,
    rng: np.random.Generator,
    *,
    spoil_too: bool,
) -> tuple[Rows, Rows]:
    """Numbers of each view (n, D), of the studies as they are and, if asked for, spoiled.

    Where there are several channels, every other study lacks some: a scan is not strange for a contrast it lacks.
    """
    as_is: list[dict[str, Floats]] = []
    spoiled: list[dict[str, Floats]] = []
    for batch in batches:
        arrays: list[Floats] = []
        for image in batch.images.numpy(force=True):
            arrays.append(_fewer_channels(image, rng) if (len(as_is) + len(arrays)) % 2 else image)
        as_is += _look(network, arrays, patch, device)
        if spoil_too:
            first = len(spoiled)
            spoiled += _look(network, [spoil(x, first + i, rng) for i, x in enumerate(arrays)], patch, device)
    return _stacked(as_is), _stacked(spoiled)


def _fewer_channels(image: Floats, rng: np.random.Generator) -> Floats:
    there = np.flatnonzero(image.reshape(len(image), -1).any(axis=1))
    if image.ndim == 3 or len(there) < 2:
        return image  # the colours of a picture come together
    out = image.copy()
    out[rng.permutation(there)[: rng.integers(1, len(there))]] = 0
    return out


def _look(network: Network, arrays: Sequence[Floats], patch: Sequence[int], device: str) -> list[dict[str, Floats]]:
    """The views of scans (C, S), read together where they are of one size."""
    if len({array.shape for array in arrays}) > 1:
        return [look for array in arrays for look in _look(network, [array], patch, device)]
    features = predict(network, torch.from_numpy(np.stack(arrays)).to(device), patch).features
    if features is None:
        raise ValueError("the network gives no features")
    return [views_of(a, f) for a, f in zip(arrays, features.float().numpy(force=True), strict=True)]


def _stacked(looks: Sequence[dict[str, Floats]]) -> Rows:
    return {name: np.stack([look[name] for look in looks]) if looks else np.zeros((0, 1), np.float32) for name in VIEWS}


def _learn_order(seen: Rows, spoiled: Rows, seed: int) -> tuple[Floats, Floats, Floats, float]:
    """A classifier with one hidden layer, as many spoiled scans as whole ones."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    good, bad = classifier_input(seen), classifier_input(spoiled)
    learner = MLPClassifier((HIDDEN,), alpha=1.0, max_iter=150, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed effort is meant
        learner.fit(np.vstack([good, bad]), np.r_[np.zeros(len(good)), np.ones(len(bad))])
    (hidden, output), (hidden_bias, output_bias) = learner.coefs_, learner.intercepts_
    return (
        hidden.astype(np.float32),
        hidden_bias.astype(np.float32),
        output[:, 0].astype(np.float32),
        float(output_bias[0]),
    )
