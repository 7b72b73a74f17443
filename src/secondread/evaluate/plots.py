"""Pictures of a report as inline SVG that follows the page's colours, light or dark.

matplotlib draws with stand-in colours, which are replaced by CSS: text and axes take the page's ink, series take
``--series-1`` and so on. Text stays text, identifiers are made unique per picture, and every picture says in words
what it shows.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from secondread.evaluate.alarms import Alarm
from secondread.evaluate.curves import Epoch, Verdict, kept, series, watched
from secondread.evaluate.metrics import Reliability
from secondread.evaluate.seeds import OverSeeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, FAINT, GROUND = "#010203", "#020304", "#030405"
SERIES = ("#100001", "#100002", "#100003", "#100004", "#100005", "#100006", "#100007", "#100008")
_CSS = {INK: "var(--ink)", FAINT: "var(--line)", GROUND: "var(--panel)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)
}
STYLES = ("-", "--", ":", "-.")
"""Runs differ in dashes too once colours run out."""

DRAWN = 8
"""So many plans of a comparison are told apart in its curves."""
WIDE = 20.0
"""Losses this many times apart need a logarithmic axis."""

TITLES = {"accuracy": "Accuracy", "dice": "Dice", "presence_auc": "Presence AUC", "loss": "Loss"}


def curves_svg(history: Sequence[Epoch], said: Verdict | None = None) -> Markup:
    """Accuracy and loss of one run, training and validation, over epochs. The epoch whose model is kept is
    marked; so are the epochs since which the run overfits, where the verdict ``said`` so."""
    epochs = np.array([epoch["epoch"] for epoch in history])
    name = watched(history)
    position = kept(history)
    panels = [name, "loss"] if name else ["loss"]
    figure, axes = _figure(5.8, 2.1 * len(panels), len(panels))
    told = []
    since = said.best_epoch if said is not None and said.kind == "overfit" else None
    for ax, what in zip(axes, panels, strict=True):
        for colour, part in zip(SERIES[:2], ("train", "validation"), strict=True):
            values = series(history, part, what)
            if np.isfinite(values).any():
                label = "training" if part == "train" else part
                ax.plot(epochs, values, color=colour, marker="o", markersize=3, linewidth=1.6, label=label)
                told.append(f"{label} {TITLES[what].lower()} ends at {values[np.isfinite(values)][-1]:.3g}")
        if position is not None:
            label = f"epoch {epochs[position]}: model kept"
            ax.axvline(epochs[position], color=INK, linewidth=1, linestyle=(0, (3, 3)), label=label)
        if since is not None:
            ax.axvspan(since, float(epochs[-1]), color=FAINT, alpha=0.45, linewidth=0, label="overfit")
        ax.set_ylabel(TITLES[what])
        _legend(ax)
    _epoch_axis(axes[-1])
    where = f"; the model of epoch {epochs[position]} was kept" if position is not None else ""
    where += f"; overfit since epoch {since}" if since is not None else ""
    return _svg(figure, "curves", f"Training curves over {len(history)} epochs: {', '.join(told)}{where}.")


def compare_svg(histories: Mapping[str, Sequence[Sequence[Epoch]]]) -> Markup:
    """Validation accuracy and loss of several plans over epochs, best plan first, each a run per seed: the median over
    seeds, and a band from the lowest seed to the highest. Those beyond DRAWN are drawn faintly."""
    names = [watched(history) for runs in histories.values() for history in runs]
    top = next((name for name in names if name), None)
    panels = [top, "loss"] if top else ["loss"]
    figure, axes = _figure(5.8, 2.5 * len(panels), len(panels))
    for ax, what in zip(axes, panels, strict=True):
        finite: list[float] = []
        for number, (name, runs) in enumerate(histories.items()):
            epochs, values = _over_epochs(runs, what)
            if not epochs:
                continue
            finite += values[np.isfinite(values)].tolist()
            middle = np.nanmedian(values, axis=0)
            if number >= DRAWN:
                label = f"{len(histories) - DRAWN} more" if number == DRAWN else None
                ax.plot(epochs, middle, color=FAINT, linewidth=1, zorder=1, label=label)
                continue
            colour, style = SERIES[number % len(SERIES)], STYLES[number // len(SERIES) % len(STYLES)]
            if len(runs) > 1:
                low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
                ax.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
            ax.plot(epochs, middle, style, color=colour, marker="o", markersize=3, linewidth=1.6, label=name)
        ax.set_ylabel(f"Validation {TITLES[what][0].lower()}{TITLES[what][1:]}")
        if what == "loss" and finite and 0 < WIDE * min(finite) < max(finite):
            ax.set_yscale("log")  # one that ran away would press all others flat
            _plain_ticks(ax.yaxis)
    handles = axes[0].get_legend_handles_labels()
    if handles[0]:
        place = {"loc": "outside upper center", "ncols": 3} if len(handles[0]) > 1 else {"loc": "outside upper center"}
        figure.legend(*handles, frameon=False, fontsize=9, labelcolor=INK, **place)
    _epoch_axis(axes[-1])
    return _svg(figure, "compare", f"Validation curves of {len(histories)} plans: {', '.join(histories)}.")


def rates_svg(points: Mapping[str, Sequence[tuple[float, OverSeeds]]], what: str) -> Markup | None:
    """A validation figure over the learning rate, a series per plan in all else, with intervals over seeds; None where
    no series has two rates."""
    drawn = {name: found for name, found in points.items() if len({rate for rate, _ in found}) > 1}
    if not drawn:
        return None
    figure, (ax,) = _figure(5.8, 2.8, 1)
    for number, (name, found) in enumerate(drawn.items()):
        colour, style = SERIES[number % len(SERIES)], STYLES[number // len(SERIES) % len(STYLES)]
        rates, values = [rate for rate, _ in found], np.array([over.value for _, over in found])
        # One seed has no interval: a whisker without length.
        reach = np.nan_to_num([[over.value - over.low, over.high - over.value] for _, over in found]).T
        ax.errorbar(
            rates, values, reach, ls=style, color=colour, marker="o", markersize=4, linewidth=1.2, label=name or None
        )
    ax.set_xscale("log")
    _plain_ticks(ax.xaxis)
    ax.set_xlabel("Learning rate")
    ax.set_ylabel(f"Validation {TITLES[what][0].lower()}{TITLES[what][1:]}")
    if len(drawn) > 1:
        _legend(ax)
    told = "; ".join(
        f"{name or 'all'}: " + ", ".join(f"{over.value:.3f} at {rate:g}" for rate, over in found)
        for name, found in drawn.items()
    )
    return _svg(figure, "rates", f"Validation {TITLES[what].lower()} over the learning rate. {told}.")


def _over_epochs(runs: Sequence[Sequence[Epoch]], what: str) -> tuple[list[int], NDArray[np.float64]]:
    """Epochs (T) that at least half of the runs saw, and a validation figure (runs, T), NaN where a run has none."""
    table = np.full((len(runs), max((len(history) for history in runs), default=0)), np.nan)
    for row, history in zip(table, runs, strict=True):
        row[: len(history)] = series(history, "validation", what)
    seen = 2 * np.isfinite(table).sum(axis=0) >= max(1, len(runs))
    return [t + 1 for t in np.flatnonzero(seen).tolist()], table[:, seen]


def roc_svg(truth: NDArray[np.bool_], scores: NDArray[np.float64], words: str, alarms: Sequence[Alarm] = ()) -> Markup:
    """ROC of presence, (n) each, and where the working points that validation chose lie on it."""
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(truth, scores)
    figure, (ax,) = _figure(3.9, 3.6, 1)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    ax.plot(false, true, color=SERIES[0], linewidth=1.8)
    points = [(a.rate, *(float((scores[k] > a.threshold).mean()) for k in (~truth, truth))) for a in alarms]
    for rate, x, y in points:
        ax.plot([x], [y], "o", color=SERIES[1], markersize=5)
        ax.annotate(str(rate), (x, y), (4, -9), textcoords="offset points", fontsize=7, color=INK)
    ax.set_xlabel("False alarms among normals")
    ax.set_ylabel("Found among abnormals")
    _unit_square(ax)
    told = "".join(f"; meant for {r} %: {y:.2f} found at {x:.2f} false alarms" for r, x, y in points)
    return _svg(figure, "roc", f"ROC curve of presence, area {words}{told}.")


def pr_svg(truth: NDArray[np.bool_], scores: NDArray[np.float64], words: str) -> Markup:
    """Precision over recall of presence, (n) each, in steps; dashed, what calling everything abnormal has."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, scores)
    share = float(truth.mean())
    figure, (ax,) = _figure(3.9, 3.6, 1)
    ax.axhline(share, color=FAINT, linewidth=1, linestyle="--")
    ax.step(recall, precision, where="post", color=SERIES[0], linewidth=1.8)
    ax.set_xlabel("Found among abnormals (recall)")
    ax.set_ylabel("Abnormal among those called so (precision)")
    _unit_square(ax)
    return _svg(
        figure, "pr", f"Precision over recall of presence, area {words}; {share:.2f} of the studies are abnormal."
    )


def froc_svg(false: NDArray[np.float64], found: NDArray[np.float64], words: str) -> Markup:
    """Lesions found over false marks per study, both along the curve."""
    from secondread.evaluate.froc import RATES

    figure, (ax,) = _figure(3.9, 3.6, 1)
    rates = np.geomspace(RATES[0] / 2, RATES[-1], 200)
    ax.plot(rates, np.interp(rates, false, found), color=SERIES[0], linewidth=1.8)
    ax.set_xscale("log", base=2)
    ax.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    ax.minorticks_off()
    ax.set_ylim(-0.02, 1.03)
    ax.set_xlabel("False marks per study")
    ax.set_ylabel("Lesions found")
    told = ", ".join(f"{np.interp(rate, false, found):.2f} at {rate:g}" for rate in RATES)
    return _svg(figure, "froc", f"FROC curve, mean {words}; lesions found, at false marks per study: {told}.")


def decision_svg(
    thresholds: NDArray[np.float64], benefit: NDArray[np.float64], draws: NDArray[np.float64], share: float
) -> Markup:
    """Net benefit (T) over thresholds (T), a band from draws (D, T), beside calling all or none abnormal."""
    figure, (ax,) = _figure(3.9, 3.6, 1)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    everyone = share - (1 - share) * thresholds / (1 - thresholds)
    ax.fill_between(thresholds, low, high, color=SERIES[0], alpha=0.2, linewidth=0)
    ax.plot(thresholds, benefit, color=SERIES[0], linewidth=1.8, label="by the model")
    ax.plot(thresholds, everyone, color=SERIES[1], linewidth=1.2, linestyle="--", label="all abnormal")
    ax.axhline(0, color=INK, linewidth=1, linestyle=":", label="none abnormal")
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.1 * share - 0.02, 1.1 * share + 0.02)
    ax.set_xlabel("Threshold probability")
    ax.set_ylabel("Net benefit per study")
    _legend(ax)
    best = np.flatnonzero(benefit > np.maximum(everyone, 0))
    said = (
        f"better than both from {thresholds[best[0]]:.2f} to {thresholds[best[-1]]:.2f}"
        if len(best)
        else "never better"
    )
    return _svg(figure, "decision", f"Decision curve: net benefit of acting on the model, {said}.")


def reliability_svg(bins: Reliability, words: str) -> Markup:
    """How often the model is right at each probability it gives."""
    used = bins.counts[0] > 0
    counts, confidence, accuracy = bins.counts[0, used], bins.confidence[0, used], bins.accuracy[0, used]
    figure, (ax,) = _figure(3.9, 3.6, 1)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    ax.plot(confidence, accuracy, color=SERIES[0], linewidth=1)
    sizes = 18 + 130 * counts / counts.max()
    ax.scatter(confidence, accuracy, s=sizes, color=SERIES[0], alpha=0.75, linewidths=0)
    ax.set_xlabel("Probability of the class it named")
    ax.set_ylabel("Share that was right")
    _unit_square(ax)
    told = ", ".join(f"{p:.2f} right {r:.2f} ({n:.0f})" for p, r, n in zip(confidence, accuracy, counts, strict=True))
    return _svg(figure, "reliability", f"Reliability, calibration error {words}. Probability and share right: {told}.")


def _figure(width: float, height: float, panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = np.atleast_1d(figure.subplots(panels, 1, sharex=True))
    figure.patch.set_alpha(0)
    for ax in axes:
        ax.set_facecolor("none")
        ax.grid(True, color=FAINT, linewidth=0.6)
        ax.set_axisbelow(True)
        for side, spine in ax.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(FAINT)
        ax.tick_params(colors=INK, labelsize=9, length=0)
        for label in (ax.xaxis.label, ax.yaxis.label):
            label.set(color=INK, fontsize=9.5)
    return figure, list(axes)


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")


def _epoch_axis(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("Epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5, in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _unit_square(ax: Axes) -> None:
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.03)
    ax.set_aspect("equal")


def _svg(figure: Figure, name: str, words: str) -> Markup:
    import matplotlib as mpl

    settings: dict[str, Any] = {"svg.fonttype": "none", "svg.hashsalt": name, "text.color": INK}
    buffer = io.StringIO()
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'font: (?:\w+ )?([\d.]+)px [^;"]*', r"font-size: \1px", text)
    text = re.sub(r'font-family: [^;"]*;?', "", text)
    # Several pictures share one page, so that their identifiers must differ.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, css in _CSS.items():
        text = text.replace(colour, css)
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1))
