"""The report on a model's health for people: on the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from proml_kedro.results.health import Figure, HealthReport, PeriodHealth

Cells = tuple[str, ...]
SUMMARY = "health.md"
_MOST_MISSING = 10
_MORE_MISSING = 0.02
"""By how much the share of missing values has to differ from the reference's to be shown."""


def write_health(folder: Path, report: HealthReport) -> None:
    """Write ``health.json`` and ``health.md``."""
    report.write(folder)
    (folder / SUMMARY).write_text("\n".join(markdown(report)) + "\n", encoding="utf-8")


def sections(report: HealthReport) -> Iterator[tuple[str, list[Cells]]]:
    """Yield tables: a heading, and rows of which the first has the names of the columns."""
    yield "", [_heading(report), *(_row(report, one) for one in report.periods)]
    if report.slices:
        rows = [(one.column, one.value, f"{one.rows:,}", shown(one.figure)) for one in report.slices]
        yield f"{report.metrics[0]} by slice", [("column", "value", "labels", report.metrics[0]), *rows]
    if names := next((tuple(one.latency) for one in report.periods if one.latency), ()):
        yield "milliseconds from request to answer", [("from", *names), *_latencies(report, names)]
    if missing := list(_missing(report)):
        heading = ("feature", "reference", "newest period", "most")
        yield "missing more or less than in the reference", [heading, *missing]


def markdown(report: HealthReport) -> Iterator[str]:
    """Yield the lines of the report in Markdown."""
    yield f"## Health of {report.model}: **{report.words}**\n"
    yield f"As known at {report.at.isoformat()}; intervals of {report.confidence:.0%} by {report.cluster_by}.\n"
    for heading, (names, *rows) in sections(report):
        if heading:
            yield f"\n### {heading[:1].upper()}{heading[1:]}\n"
        yield f"| {' | '.join(names)} |\n|{'---|' * len(names)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
    yield from (f"- {notice}" for notice in report.notices)


def shown(figure: Figure) -> str:
    """Write a figure with its interval."""
    if figure.value is None:
        return figure.reason or "not defined"
    interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.3f} to {figure.high:.3f})"
    return f"{figure.value:.3f}{interval}{' worse' if figure.worse else ''}"


def _heading(report: HealthReport) -> Cells:
    wanted = [f"{name} ({report.expected[name]:.3f})" if name in report.expected else name for name in report.metrics]
    return ("from", "rows", "failed", "labelled", "label", "score", *wanted, "inputs")


def _row(report: HealthReport, one: PeriodHealth) -> Cells:
    labelled = "-" if one.coverage is None else f"{one.coverage:.0%}"
    first = (f"{one.begin:%Y-%m-%d %H:%M}", f"{one.requests:,}", f"{one.failed:,}", labelled)
    means = [_number(one.label_mean), _number(one.score_mean)]
    return (*first, *means, *(_cell(one, name) for name in report.metrics), _inputs(one))


def _cell(one: PeriodHealth, name: str) -> str:
    if name in one.figures:
        return shown(one.figures[name])
    return f"estimated {one.estimated[name]:.3f}" if name in one.estimated else "-"


def _inputs(one: PeriodHealth) -> str:
    reasons = [one.not_judged, one.not_estimated.partition(":")[0]]
    why = "; ".join(reason for reason in dict.fromkeys(reasons) if reason)
    return f"{one.inputs_words}{f' ({why})' if why else ''}"


def _latencies(report: HealthReport, names: Cells) -> Iterator[Cells]:
    for one in report.periods:
        took = (f"{1000 * one.latency[name]:,.1f}" if one.latency else "-" for name in names)
        yield f"{one.begin:%Y-%m-%d %H:%M}", *took


def _missing(report: HealthReport) -> Iterator[Cells]:
    changes = []
    for name, shares in report.missing.items():
        known = [share for share in shares if share is not None]
        before = report.missing_before.get(name)
        if known and before is not None:
            changes.append((max(abs(share - before) for share in known), name, before, known))
    for change, name, before, known in sorted(changes, key=lambda one: -one[0])[:_MOST_MISSING]:
        if change >= _MORE_MISSING:
            yield name, f"{before:.1%}", f"{known[-1]:.1%}", f"{max(known):.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
