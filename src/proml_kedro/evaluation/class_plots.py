"""Plots of the probabilities of several classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.class_metrics import confusion
from proml_kedro.evaluation.plots import binned
from proml_kedro.evaluation.rows import ScoredRows
from proml_kedro.plots import BLUE, GREY, ORANGE, figure

Array = npt.NDArray[Any]

_DRAWN = 10
"""Classes that a plot of lines has room for: the most frequent ones."""
_WRITTEN = 20
"""Classes up to which cells of a table hold their figures."""


def plot_classes(folder: Path, rows: ScoredRows) -> None:
    """Plot which classes are taken for which, how well each is calibrated, and how sure the model is when it is wrong.

    Args:
        folder: Where ``confusion.png``, ``calibration.png`` and ``scores.png`` go.
        rows: Labels and scores of classes.
    """
    label, score = np.asarray(rows.label, np.float64), np.asarray(rows.candidate.scores, np.float64)
    _plot_confusion(folder / "confusion.png", confusion(label, score, np.ones(len(label))), rows)
    _plot_calibration(folder / "calibration.png", label, score, rows)
    _plot_sureness(folder / "scores.png", label, score, rows.candidate.name)


def _plot_confusion(file: Path, table: Array, rows: ScoredRows) -> None:
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    size = len(rows.classes)
    side = min(max(4.5, 1.8 + 0.45 * size), 16.0)
    with figure(file, side + 1, side) as axes:
        cells = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        axes.figure.colorbar(cells, ax=axes, label="share of the rows of the class")
        axes.set(title=f"What {rows.candidate.name} takes for what", xlabel="most probable class", ylabel="class")
        names = [one if len(one) <= 20 else f"{one[:19]}…" for one in rows.classes]
        if size <= 5 * _WRITTEN:
            axes.set_xticks(range(size), names, rotation=90 if size > 5 else 0)
            axes.set_yticks(range(size), names)
        axes.grid(visible=False)
        for (row, column), count in np.ndenumerate(table) if size <= _WRITTEN else ():
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,.0f}", ha="center", va="center", color=colour, fontsize=8)


def _plot_calibration(file: Path, label: Array, score: Array, rows: ScoredRows) -> None:
    frequent = np.argsort(-np.bincount(label.astype(np.int64), minlength=len(rows.classes)), kind="stable")[:_DRAWN]
    with figure(file, 6.5, 5.5) as axes:
        axes.plot((0, 1), (0, 1), color=GREY, linestyle=":", label="perfect")
        for number in sorted(frequent.tolist()):
            said, seen = binned((label == number).astype(np.float64), score[:, number], 15)
            axes.plot(said, seen, marker="o", markersize=3, label=rows.classes[number])
        axes.set(
            title="Calibration: is each class as frequent as said?",
            xlabel="mean predicted probability of the class",
            ylabel="share of rows of the class",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        axes.legend(fontsize=8)


def _plot_sureness(file: Path, label: Array, score: Array, name: str) -> None:
    top, right = score.max(axis=1), score.argmax(axis=1) == label
    bins = np.linspace(0, 1, 51)
    with figure(file) as axes:
        for rows, colour, words in ((right, BLUE, "right"), (~right, ORANGE, "wrong")):
            axes.hist(top[rows], bins, alpha=0.6, color=colour, label=f"{words} ({int(rows.sum()):,})")
        axes.set(title=f"How sure {name} is", xlabel="probability of the most probable class", ylabel="rows")
        axes.legend()
