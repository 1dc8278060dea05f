"""The evaluation as files: ``metrics.json``, ``report.md`` and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from proml_kedro.evaluation import ranking
from proml_kedro.evaluation.compare import Evaluation
from proml_kedro.evaluation.metrics import metrics
from proml_kedro.evaluation.plots import Scored, plot_calibration, plot_importance, plot_scores, plot_weeks
from proml_kedro.plots import BLUE, ORANGE

Array = npt.NDArray[Any]


def write_report(
    folder: Path,
    result: Evaluation,
    label: Array,
    days: Array,
    candidate: tuple[str, Array],
    baseline: tuple[str, Array] | None,
    importance: Mapping[str, float],
    learned: Sequence[str] = (),
) -> None:
    """Write everything that is known of a model on the test period.

    Args:
        folder: Where to.
        result: The metrics.
        label: What happened, shape (n,).
        days: The date of each row, shape (n,), anything that ``datetime64[D]`` reads.
        candidate: Name of the model and its scores.
        baseline: The same of the baseline.
        importance: Share of each input; may be empty.
        learned: Lines of Markdown about what components have learned.
    """
    models = [Scored(*candidate, BLUE), *([Scored(*baseline, ORANGE)] if baseline else [])]
    content = {**result.as_dict(), "candidate_name": candidate[0], "baseline_name": baseline[0] if baseline else None}
    (folder / "metrics.json").write_text(json.dumps(content, indent=2) + "\n")
    plot_calibration(folder / "calibration.png", label, models, result.task)
    plot_scores(folder / "scores.png", label, models[0], result.task)
    plot_weeks(folder / "weeks.png", label, days, models, next(iter(result.candidate)))
    if importance:
        (folder / "importance.json").write_text(json.dumps(dict(importance), indent=2) + "\n")
        plot_importance(folder / "importance.png", importance)
    lines = [*_markdown(result, content, bool(importance)), *learned]
    (folder / "report.md").write_text("\n".join(lines) + "\n")


def _markdown(result: Evaluation, content: Mapping[str, Any], has_importance: bool) -> Iterator[str]:
    yield f"# {content['candidate_name']} on the test period\n"
    yield f"{result.rows:,} rows, {_labels(result)}.\n"
    yield from _table(result, content)
    if result.baseline:
        yield (
            f"\nThe interval holds {result.confidence:.0%} of {result.resamples} paired bootstrap samples over "
            f"{result.clusters:,} clusters, drawn by {result.cluster_by}."
        )
    if result.ranking:
        yield f"\n{_groups(result)}"
    plots = ["calibration", "scores", "weeks", *(["importance"] if has_importance else [])]
    yield from (f"\n![{name}]({name}.png)" for name in plots)


def _labels(result: Evaluation) -> str:
    if result.positive_rate is not None:
        return f"of which {result.positive_rate:.1%} are positive"
    return f"whose mean label is {result.label_mean:.4g}"


def _groups(result: Evaluation) -> str:
    """What the figures of rankings are figures of."""
    facts = result.ranking
    assert facts is not None  # noqa: S101 - for the type checker: the caller has looked
    text = (
        f"Rankings are judged within {facts.within}: {facts.groups:,} groups, of which {facts.without_positive:,} have "
        "no positive row and are left out."
    )
    if result.baseline and facts.drawn_by != result.cluster_by:
        text += f" Their rows lie in several clusters, so for their intervals groups are drawn ({facts.drawn_by})."
    return text


def _table(result: Evaluation, content: Mapping[str, Any]) -> Iterator[str]:
    if not result.baseline:
        yield f"| metric | {content['candidate_name']} | |\n|---|--:|---|"
        yield from (f"| {name} | {_number(value)} | {_meaning(name)[1]} |" for name, value in result.candidate.items())
        return
    yield f"| metric | {content['candidate_name']} | {content['baseline_name']} | difference | interval | p | better |"
    yield "|---|--:|--:|--:|--:|--:|---|"
    for name, value in result.candidate.items():
        one = result.differences[name]
        yield (
            f"| {name} | {_number(value)} | {_number(result.baseline[name])} | {_number(one.difference, '+')} "
            f"| {_number(one.low, '+')} … {_number(one.high, '+')} | {_number(one.p_value)} "
            f"| {': '.join(_meaning(name))} |"
        )


def _meaning(name: str) -> tuple[str, str]:
    """Which way is better, and what a metric says."""
    if name in metrics.names():
        metric = metrics.get(name)
        return ("higher" if metric.higher_is_better else "lower"), metric.meaning
    return "higher", ranking.meaning(name)


def _number(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.4f}"
