"""Plots of an evaluation, by the task of the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.plots import BLUE, GREY, figure
from proml_kedro.spec.problem import Task

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Line:
    """A model as a plot shows it.

    Attributes:
        name: Of the model.
        score: Shape (n,).
        colour: Of its lines.
    """

    name: str
    score: Array
    colour: str


def plot_calibration(file: Path, label: Array, models: Sequence[Line], task: Task, bins: int = 15) -> None:
    """Plot mean labels against mean predictions, over bins with equally many predictions."""
    lines = [(model, *binned(label, model.score, bins)) for model in models]
    ends = (0.0, 1.0) if task == "binary" else _range([values for _, said, seen in lines for values in (said, seen)])
    with figure(file, 6.5, 5.5) as axes:
        axes.plot(ends, ends, color=GREY, linestyle=":", label="perfect")
        for model, said, seen in lines:
            axes.plot(said, seen, marker="o", markersize=4, color=model.colour, label=model.name)
        axes.set(
            title="Calibration: does it happen as often as said?"
            if task == "binary"
            else "Calibration: is it as said?",
            xlabel="mean predicted probability" if task == "binary" else "mean prediction",
            ylabel="share of positive rows" if task == "binary" else "mean label",
            xlim=ends,
            ylim=ends,
        )
        axes.legend()


def binned(label: Array, score: Array, bins: int) -> tuple[Array, Array]:
    """Compute the mean score and mean label of each bin that has rows."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_of = np.searchsorted(edges, score, side="right")
    rows = np.bincount(bin_of, minlength=len(edges) + 1)
    said, seen = (np.bincount(bin_of, values, len(edges) + 1)[rows > 0] / rows[rows > 0] for values in (score, label))
    return said, seen


def _range(values: Sequence[Array]) -> tuple[float, float]:
    """Span all numbers, with a margin."""
    every = np.concatenate(values)
    margin = 0.03 * float(np.ptp(every)) or 1.0
    return float(every.min()) - margin, float(every.max()) + margin


def plot_scores(file: Path, label: Array, model: Line, task: Task) -> None:
    """Plot the scores of positive and negative rows; for other tasks than binary, labels against scores."""
    if task == "binary":
        _plot_classes(file, label, model)
    else:
        _plot_labels(file, label, model)


def _plot_classes(file: Path, label: Array, model: Line) -> None:
    with figure(file) as axes:
        bins = np.linspace(0, 1, 51)
        for value, colour, name in ((0, GREY, "negative rows"), (1, model.colour, "positive rows")):
            rows = model.score[label == value]
            share = np.full(len(rows), 1 / max(len(rows), 1))
            axes.hist(rows, bins, weights=share, alpha=0.6, color=colour, label=f"{name} ({len(rows):,})")
        axes.set(title=f"Scores of {model.name}", xlabel="predicted probability", ylabel="share of rows of the class")
        axes.legend()


def _plot_labels(file: Path, label: Array, model: Line) -> None:
    with figure(file, 6.5, 5.5) as axes:
        counts = axes.hexbin(model.score, label, gridsize=45, bins="log", mincnt=1, cmap="Blues")
        ends = _range([model.score])
        axes.plot(ends, ends, color=GREY, linestyle=":", label="perfect")
        axes.figure.colorbar(counts, ax=axes, label="rows")
        axes.set(title=f"Predictions of {model.name}", xlabel="prediction", ylabel="label")
        axes.legend()


def plot_weeks(file: Path, label: Array, days: Array, models: Sequence[Line], metric: str) -> None:
    """Plot a metric in each week of the test period."""
    weeks = days.astype("datetime64[D]").astype("datetime64[W]")
    starts = np.unique(weeks)
    with figure(file) as axes:
        for model in models:
            values = [
                Predictions(label[weeks == week], model.score[weeks == week]).measure([metric])[metric]
                for week in starts
            ]
            axes.plot(
                starts.astype("datetime64[D]"), values, marker="o", markersize=4, color=model.colour, label=model.name
            )
        axes.set(title=f"{metric} by week of the test period", xlabel="week beginning", ylabel=metric)
        axes.tick_params(axis="x", rotation=30)
        axes.legend()


def plot_importance(file: Path, importance: Mapping[str, float], top: int = 20) -> None:
    """Plot the inputs that the model relies on most."""
    chosen = sorted(importance.items(), key=lambda item: item[1])[-top:]
    with figure(file, height=0.9 + 0.28 * len(chosen)) as axes:
        axes.barh([name for name, _ in chosen], [100 * share for _, share in chosen], color=BLUE)
        axes.set(title="What the model relies on", xlabel="share of its gain in fit, %")
        axes.grid(axis="y", visible=False)
