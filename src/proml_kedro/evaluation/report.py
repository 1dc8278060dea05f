"""The evaluation as files: ``metrics.json``, ``report.md`` and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.compare import Evaluation
from proml_kedro.evaluation.metrics import Judged, metrics
from proml_kedro.plots import BLUE, GREY, ORANGE, figure

Array = npt.NDArray[Any]

_MEANINGS = {
    "auc": "how often a positive row is ranked above a negative one",
    "average_precision": "mean precision over all thresholds",
    "logloss": "mean negative log-likelihood, in nats",
    "brier": "mean squared error of the probability",
    "calibration_error": "mean gap between probability and frequency",
}


@dataclass(frozen=True)
class Scored:
    """The test rows with the scores of one model.

    Attributes:
        name: Of the model.
        probability: Shape (n,).
        colour: Of its lines.
    """

    name: str
    probability: Array
    colour: str


def write_report(
    folder: Path,
    result: Evaluation,
    label: Array,
    days: Array,
    candidate: tuple[str, Array],
    baseline: tuple[str, Array] | None,
    importance: Mapping[str, float],
) -> None:
    """Write everything that is known of a model on the test period.

    Args:
        folder: Where to.
        result: The metrics.
        label: 0 or 1, shape (n,).
        days: The date of each row, shape (n,), anything that ``datetime64[D]`` reads.
        candidate: Name of the model and its probabilities.
        baseline: The same of the baseline.
        importance: Share of each input; may be empty.
    """
    models = [Scored(*candidate, BLUE), *([Scored(*baseline, ORANGE)] if baseline else [])]
    content = {**result.as_dict(), "candidate_name": candidate[0], "baseline_name": baseline[0] if baseline else None}
    (folder / "metrics.json").write_text(json.dumps(content, indent=2) + "\n")
    _plot_calibration(folder / "calibration.png", label, models)
    _plot_scores(folder / "scores.png", label, models[0])
    _plot_weeks(folder / "weeks.png", label, days, models, next(iter(result.candidate)))
    if importance:
        (folder / "importance.json").write_text(json.dumps(dict(importance), indent=2) + "\n")
        _plot_importance(folder / "importance.png", importance)
    (folder / "report.md").write_text("\n".join(_markdown(result, content, bool(importance))) + "\n")


def _plot_calibration(file: Path, label: Array, models: list[Scored], bins: int = 15) -> None:
    with figure(file, 6.5, 5.5) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
        for model in models:
            edges = np.unique(np.quantile(model.probability, np.linspace(0, 1, bins + 1)[1:-1]))
            bin_of = np.searchsorted(edges, model.probability, side="right")
            rows = np.bincount(bin_of, minlength=len(edges) + 1)
            said = np.bincount(bin_of, model.probability, len(edges) + 1)[rows > 0] / rows[rows > 0]
            seen = np.bincount(bin_of, label, len(edges) + 1)[rows > 0] / rows[rows > 0]
            axes.plot(said, seen, marker="o", markersize=4, color=model.colour, label=model.name)
        axes.set(
            title="Calibration: does it happen as often as said?",
            xlabel="mean predicted probability",
            ylabel="share of positive rows",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        axes.legend()


def _plot_scores(file: Path, label: Array, model: Scored) -> None:
    with figure(file) as axes:
        bins = np.linspace(0, 1, 51)
        for value, colour, name in ((0, GREY, "negative rows"), (1, model.colour, "positive rows")):
            rows = model.probability[label == value]
            share = np.full(len(rows), 1 / max(len(rows), 1))
            axes.hist(rows, bins, weights=share, alpha=0.6, color=colour, label=f"{name} ({len(rows):,})")
        axes.set(title=f"Scores of {model.name}", xlabel="predicted probability", ylabel="share of rows of the class")
        axes.legend()


def _plot_weeks(file: Path, label: Array, days: Array, models: list[Scored], metric: str) -> None:
    weeks = days.astype("datetime64[D]").astype("datetime64[W]")
    starts = np.unique(weeks)
    with figure(file) as axes:
        for model in models:
            values = [
                Judged(label[weeks == week], model.probability[weeks == week]).measure([metric])[metric]
                for week in starts
            ]
            axes.plot(
                starts.astype("datetime64[D]"), values, marker="o", markersize=4, color=model.colour, label=model.name
            )
        axes.set(title=f"{metric} by week of the test period", xlabel="week beginning", ylabel=metric)
        axes.tick_params(axis="x", rotation=30)
        axes.legend()


def _plot_importance(file: Path, importance: Mapping[str, float], top: int = 20) -> None:
    chosen = sorted(importance.items(), key=lambda item: item[1])[-top:]
    with figure(file, height=0.9 + 0.28 * len(chosen)) as axes:
        axes.barh([name for name, _ in chosen], [100 * share for _, share in chosen], color=BLUE)
        axes.set(title="What the model relies on", xlabel="share of its gain in fit, %")
        axes.grid(axis="y", visible=False)


def _markdown(result: Evaluation, content: Mapping[str, Any], has_importance: bool) -> Iterator[str]:
    yield f"# {content['candidate_name']} on the test period\n"
    yield f"{result.rows:,} rows, of which {result.positive_rate:.1%} are positive.\n"
    yield from _table(result, content)
    if result.baseline:
        yield (
            f"\nThe interval holds {result.confidence:.0%} of {result.resamples} paired bootstrap samples over "
            f"{result.clusters:,} clusters, drawn by {result.cluster_by}."
        )
    plots = ["calibration", "scores", "weeks", *(["importance"] if has_importance else [])]
    yield from (f"\n![{name}]({name}.png)" for name in plots)


def _table(result: Evaluation, content: Mapping[str, Any]) -> Iterator[str]:
    if not result.baseline:
        yield f"| metric | {content['candidate_name']} | |\n|---|--:|---|"
        yield from (f"| {name} | {_number(value)} | {_MEANINGS[name]} |" for name, value in result.candidate.items())
        return
    yield f"| metric | {content['candidate_name']} | {content['baseline_name']} | difference | interval | p | better |"
    yield "|---|--:|--:|--:|--:|--:|---|"
    for name, value in result.candidate.items():
        one = result.differences[name]
        yield (
            f"| {name} | {_number(value)} | {_number(result.baseline[name])} | {_number(one.difference, '+')} "
            f"| {_number(one.low, '+')} … {_number(one.high, '+')} | {_number(one.p_value)} "
            f"| {'higher' if metrics.get(name).higher_is_better else 'lower'}: {_MEANINGS[name]} |"
        )


def _number(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.4f}"
