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

from secondread.evaluate.curves import Epoch, kept, series, watched
from secondread.evaluate.metrics import Reliability, once, sensitivity_at_alarms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GROUND = "#010203", "#020304", "#030405"
SERIES = ("#100001", "#100002", "#100003", "#100004", "#100005", "#100006", "#100007", "#100008")
_CSS = {INK: "var(--ink)", FAINT: "var(--line)", GROUND: "var(--panel)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)
}
STYLES = ("-", "--", ":", "-.")
"""Runs differ in dashes too once colours run out."""

TITLES = {"accuracy": "Accuracy", "dice": "Dice", "presence_auc": "Presence AUC", "loss": "Loss"}


def curves_svg(history: Sequence[Epoch]) -> Markup:
    """Accuracy and loss of one run, training and validation, over epochs; the epoch kept is marked."""
    epochs = np.array([epoch["epoch"] for epoch in history])
    name = watched(history)
    position = kept(history)
    panels = [name, "loss"] if name else ["loss"]
    figure, axes = _figure(5.8, 2.1 * len(panels), len(panels))
    said = []
    for ax, what in zip(axes, panels, strict=True):
        for colour, part in zip(SERIES[:2], ("train", "validation"), strict=True):
            values = series(history, part, what)
            if np.isfinite(values).any():
                label = "training" if part == "train" else part
                ax.plot(epochs, values, color=colour, marker="o", markersize=3, linewidth=1.6, label=label)
                said.append(f"{label} {TITLES[what].lower()} ends at {values[np.isfinite(values)][-1]:.3g}")
        if position is not None:
            ax.axvline(epochs[position], color=INK, linewidth=1, linestyle=(0, (3, 3)), label="model kept")
        ax.set_ylabel(TITLES[what])
        _legend(ax)
    _epoch_axis(axes[-1])
    where = f"; the model of epoch {epochs[position]} was kept" if position is not None else ""
    return _svg(figure, "curves", f"Training curves over {len(history)} epochs: {', '.join(said)}{where}.")


def compare_svg(histories: Mapping[str, Sequence[Epoch]]) -> Markup:
    """Validation accuracy and loss of several runs over epochs, one colour per run."""
    names = [watched(history) for history in histories.values()]
    top = next((name for name in names if name), None)
    panels = [top, "loss"] if top else ["loss"]
    figure, axes = _figure(5.8, 2.4 * len(panels), len(panels))
    for ax, what in zip(axes, panels, strict=True):
        for number, (run, history) in enumerate(histories.items()):
            epochs = [epoch["epoch"] for epoch in history]
            style = STYLES[number // len(SERIES) % len(STYLES)]
            colour = SERIES[number % len(SERIES)]
            values = series(history, "validation", what)
            ax.plot(epochs, values, style, color=colour, marker="o", markersize=3, linewidth=1.6, label=run)
        ax.set_ylabel(f"Validation {TITLES[what].lower()}")
    _legend(axes[0])
    _epoch_axis(axes[-1])
    return _svg(figure, "compare", f"Validation curves of {len(histories)} runs: {', '.join(histories)}.")


def roc_svg(truth: NDArray[np.bool_], scores: NDArray[np.float64], words: str) -> Markup:
    """ROC of presence, (n) each, with the working points at 1, 5 and 10 false alarms per 100 normals."""
    from sklearn.metrics import roc_curve

    from secondread.evaluate.figures import ALARM_RATES

    false, true, _ = roc_curve(truth, scores)
    figure, (ax,) = _figure(3.9, 3.6, 1)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    ax.plot(false, true, color=SERIES[0], linewidth=1.8)
    points = [float(sensitivity_at_alarms(truth, scores, rate, once(len(truth)))[0]) for rate in ALARM_RATES]
    ax.plot([rate / 100 for rate in ALARM_RATES], points, "o", color=SERIES[1], markersize=5)
    for rate, sensitivity in zip(ALARM_RATES, points, strict=True):
        ax.annotate(
            str(rate),
            (rate / 100, sensitivity),
            (0, -11),
            textcoords="offset points",
            fontsize=7,
            color=INK,
            ha="center",
        )
    ax.set_xlabel("False alarms among normals")
    ax.set_ylabel("Found among abnormals")
    _unit_square(ax)
    told = ", ".join(f"{p:.2f} at {r} %" for r, p in zip(ALARM_RATES, points, strict=True))
    return _svg(figure, "roc", f"ROC curve of presence, area {words}; share found {told} false alarms.")


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
