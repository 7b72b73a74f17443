"""Draw the figures of docs/cats-and-dogs.md from what its commands wrote.

python docs/draw_figures.py curves RUN curves.png           accuracy and loss per epoch
python docs/draw_figures.py readings FINDINGS readings.png  every picture that `secondread read` drew, on one sheet
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from secondread.evaluate import read_history
from secondread.evaluate.curves import kept, series

TRAINING, VALIDATION, FAINT = "#2563eb", "#ea580c", "#6b7280"
COLUMNS, CELL = 3, (300, 200)


def curves(run: Path, out: Path) -> None:
    """Accuracy above, loss below; training and validation; the epoch kept."""
    import matplotlib.pyplot as plt

    history = read_history(run)
    epochs = [int(epoch["epoch"]) for epoch in history]
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    for ax, name in zip(axes, ("accuracy", "loss"), strict=True):
        ax.plot(epochs, series(history, "train", name), color=TRAINING, label="training")
        ax.plot(epochs, series(history, "validation", name), color=VALIDATION, linestyle="--", label="validation")
        if (best := kept(history)) is not None:
            ax.axvline(epochs[best], color=FAINT, linestyle=":", linewidth=1, label="model kept")
        ax.set(xlabel="epoch", ylabel=name)
        ax.set_ylim(0, 1.02 if name == "accuracy" else None)
        ax.grid(alpha=0.25)
    axes[0].legend(frameon=False)
    figure.savefig(out, dpi=100)


def readings(findings: Path, out: Path) -> None:
    """The pictures of a folder of findings, in order of their names."""
    drawn = [path for path in sorted(findings.glob("*.png")) if not path.stem.endswith("_mask")]
    rows = -(-len(drawn) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]))
    for number, path in enumerate(drawn):
        with Image.open(path) as image:
            image.thumbnail(CELL, Image.Resampling.LANCZOS)
            row, column = divmod(number, COLUMNS)
            sheet.paste(image, (column * CELL[0], row * CELL[1]))
    sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures of docs/cats-and-dogs.md.")
    parser.add_argument("what", choices=("curves", "readings"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    {"curves": curves, "readings": readings}[given.what](given.source, given.out)


if __name__ == "__main__":
    main()
