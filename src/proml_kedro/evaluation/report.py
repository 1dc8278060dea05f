"""The evaluation as files: ``metrics.json``, ``report.md`` and plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proml_kedro.evaluation.class_plots import plot_classes
from proml_kedro.evaluation.gates import write_junit
from proml_kedro.evaluation.metric import higher_is_better, meaning
from proml_kedro.evaluation.page import write_page
from proml_kedro.evaluation.plots import Line, plot_calibration, plot_importance, plot_scores, plot_weeks
from proml_kedro.evaluation.result import Evaluation
from proml_kedro.evaluation.rows import ModelScores, ScoredRows
from proml_kedro.evaluation.sections import Section
from proml_kedro.evaluation.verdict import compare
from proml_kedro.formulas import in_shares
from proml_kedro.plots import BLUE, ORANGE
from proml_kedro.results import Comparison, Importance, Metrics
from proml_kedro.results.names import GATES_JUNIT, REPORT_PAGE, REPORTS

_FIGURES_OF_A_PART = 7

_PLOTS = ("confusion", "calibration", "scores", "weeks", "importance")


@dataclass(frozen=True)
class Insight:
    """What is known of the inside of a model, for its report.

    Attributes:
        importance: Share of each input; may be empty.
        lines: Lines of Markdown about what its components have learned.
        sections: What the page says beside metrics.
    """

    importance: Mapping[str, float] = field(default_factory=dict)
    lines: Sequence[str] = ()
    sections: Sequence[Section] = ()


def write_report(folder: Path, result: Evaluation, rows: ScoredRows, insight: Insight) -> None:
    """Write ``metrics.json``, ``report.md``, ``report.html``, ``report.json``, ``importance.json`` and plots.

    Args:
        folder: Where to.
        result: The metrics of these rows.
        rows: Labels and scores.
        insight: What is known of the inside of the model.
    """
    baseline = rows.baseline.name if rows.baseline else None
    verdict = compare(result, rows.candidate.name, baseline)
    content = {
        **result.as_dict(),
        "candidate_name": rows.candidate.name,
        "baseline_name": baseline,
        "verdict": verdict,
    }
    Metrics.of(content).write(folder)
    write_page(folder, result, verdict, rows.candidate.name, insight.sections)
    if result.gates:
        write_junit(folder / GATES_JUNIT, result.gates, rows.candidate.name)
    lines = [Line(one.name, one.scores, colour) for one, colour in _in_colours(rows)]
    if rows.classes:
        plot_classes(folder, rows)
    else:
        plot_calibration(folder / "calibration.png", rows.label, lines, result.task)
        plot_scores(folder / "scores.png", rows.label, lines[0], result.task)
    if rows.days is not None:
        plot_weeks(folder / "weeks.png", rows.label, rows.days, lines, next(iter(result.candidate)))
    if insight.importance:
        Importance(insight.importance).write(folder)
        plot_importance(folder / "importance.png", insight.importance)
    plots = [name for name in _PLOTS if (folder / f"{name}.png").exists()]
    text = [*_markdown(result, content, verdict, plots), *insight.lines]
    (folder / REPORTS["evaluation"]).write_text("\n".join(text) + "\n")


def _in_colours(rows: ScoredRows) -> Iterator[tuple[ModelScores, str]]:
    yield rows.candidate, BLUE
    if rows.baseline:
        yield rows.baseline, ORANGE


def _markdown(
    result: Evaluation, content: Mapping[str, Any], verdict: Comparison, plots: Sequence[str]
) -> Iterator[str]:
    yield f"# {content['candidate_name']} on the test period\n"
    yield f"[All of it on one page, with curves, thresholds and rates]({REPORT_PAGE})\n"
    yield f"**{verdict.in_words}**\n"
    yield f"{result.rows:,} rows, {_labels(result)}.\n"
    yield from _table(result, content)
    if result.baseline:
        clusters = f"{result.clusters:,} clusters by {result.cluster_by}"
        yield (
            f"\nIntervals are of {100 * result.confidence:.4g}%, from {clusters}. The first metric decides, by its p; "
            "for any other one, look at p of all, which holds for the whole table."
        )
        yield from (f"\nNo interval for {name}: {why}." for name, why in _reasons(result))
    yield from _slices(result)
    if result.gates:
        yield "\n| gate | | |\n|---|---|---|"
        yield from (
            f"| {one.metric} | {'passed' if one.passed else '**failed**'} | {one.text} |" for one in result.gates
        )
    if result.ranking:
        yield f"\n{_groups(result)}"
    yield from (f"\n![{name}]({name}.png)" for name in plots)


def _labels(result: Evaluation) -> str:
    if result.class_shares:
        return f"of {len(result.class_shares)} classes: {in_shares(result.class_shares)}"
    if result.positive_rate is not None:
        return f"of which {result.positive_rate:.1%} are positive"
    return f"whose mean label is {result.label_mean:.4g}"


def _groups(result: Evaluation) -> str:
    """Describe the groups that ranking metrics are averaged over."""
    facts = result.ranking
    assert facts is not None  # noqa: S101 - for the type checker: the caller has looked
    text = (
        f"Rankings are judged within {facts.within}: {facts.groups:,} groups, of which {facts.without_positive:,} have "
        "no positive row and are left out."
    )
    if result.baseline and facts.drawn_by != result.cluster_by:
        text += (
            f" Their rows lie in several clusters, so each group is a cluster for their intervals ({facts.drawn_by})."
        )
    return text


def _table(result: Evaluation, content: Mapping[str, Any]) -> Iterator[str]:
    if not result.baseline:
        yield f"| metric | {content['candidate_name']} | |\n|---|--:|---|"
        yield from (f"| {name} | {_number(value)} | {meaning(name)} |" for name, value in result.candidate.items())
        return
    names = f"{content['candidate_name']} | {content['baseline_name']}"
    yield f"| metric | {names} | difference | interval | p | p of all | better |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|"
    for name, value in result.candidate.items():
        one = result.differences[name]
        yield (
            f"| {name} | {_number(value)} | {_number(result.baseline[name])} | {_number(one.difference, '+')} "
            f"| {_number(one.low, '+')} … {_number(one.high, '+')} | {_number(one.p_value)} "
            f"| {_number(one.p_adjusted)} "
            f"| {': '.join(_describe(name))} |"
        )


def _slices(result: Evaluation) -> Iterator[str]:
    """Lay out the first metric on parts of the test period."""
    if not result.slices:
        return
    name = next(iter(result.candidate))
    yield f"\n## {name} on parts of the test period\n"
    yield "| | | rows | share | model | baseline | difference | interval | p of all |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for one in result.slices:
        figures = [f"{one.rows:,}", f"{one.share:.1%}", _number(one.candidate)]
        if one.baseline is not None and (found := one.difference):
            interval = found.reason or f"{_number(found.low, '+')} … {_number(found.high, '+')}"
            figures += [_number(one.baseline), _number(found.difference, "+"), interval, _number(found.p_adjusted)]
        figures += [""] * (_FIGURES_OF_A_PART - len(figures))
        yield f"| {one.column} | {one.value.replace('|', '/')} | {' | '.join(figures)} |"


def _reasons(result: Evaluation) -> Iterator[tuple[str, str]]:
    return ((name, one.reason) for name, one in result.differences.items() if one.reason)


def _describe(name: str) -> tuple[str, str]:
    """Say which way is better, and what a metric means."""
    return ("higher" if higher_is_better(name) else "lower"), meaning(name)


def _number(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.4f}"
