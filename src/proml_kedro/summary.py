"""What a run says at its end: how good, how sure, where things lie, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proml_kedro.artifacts import Artifact
from proml_kedro.command_line import is_set, repeats, run_again, serve, workspace
from proml_kedro.engine.spark.place import place_of
from proml_kedro.hardware import cpu_seconds, in_words, peak_memory
from proml_kedro.results import Consistency, DriftResult, FitSummary, Metrics, Places, TablesFacts
from proml_kedro.results.names import REPORTS
from proml_kedro.spec import ModelSpec, RunSpec
from proml_kedro.workflow.champion import Challenge
from proml_kedro.workflow.plan import SERVED

_TITLES = {"evaluation": "Evaluation", "bundle": "Model card", "drift": "Drift"}

_COLOURS = {"better": "green", "worse": "red", "unclear worse": "yellow"}
"""Of verdicts."""

_FEW_UNKNOWN = 0.01
"""Share of test rows below which the summary says nothing of keys that training has not seen."""

_WARNINGS = 5
"""How many warnings about data, and how many about the model, the summary names."""


def show(
    results: Mapping[str, Artifact],
    run: RunSpec,
    places: Places,
    seconds: Mapping[str, float],
    against: Challenge | None = None,
) -> None:
    """Print the summary to standard output.

    Args:
        results: The artefacts of this run, by dataset name.
        run: What was run.
        places: Where results lie.
        seconds: How long each node took.
        against: What came of a comparison with the champion; None where there was none.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)  # users may write [a] and :b:
    problem, model = run.problem.name, run.model.name
    console.print(Text.assemble("\n", (problem, "bold"), " · model ", (model, "bold")))
    metrics = Metrics.read(results["evaluation"].path) if "evaluation" in results else None
    if metrics:
        console.print(_verdict(metrics))
        console.print(_metrics(metrics, model))
        for line in (*_groups(metrics), *_unknown(metrics)):
            console.print(line)
        if against:
            console.print(Text(against.text, _COLOURS.get(against.kind, "default")))
        for gate in [*metrics.failed_gates, *(against.failed_gates if against else ())]:
            console.print(Text(f"Gate of {gate.metric} failed: {gate.text}", "red"))
    for warning in _warnings(results):
        console.print(warning)
    if "drift" in results:
        console.print(_drift(DriftResult.read(results["drift"].path)))
    if "consistency" in results:
        console.print(_consistency(Consistency.read(results["consistency"].path)))
    if metrics is None and "bundle" in results:  # what is packaged was evaluated by an earlier run
        metrics = Metrics.read(results["bundle"].path)
    judged = metrics.verdict if metrics else None
    worse = bool(judged and judged.forbids_serving) or bool(metrics and metrics.failed_gates)
    worse |= bool(against and against.failed_gates)
    for text in (*_reports(results, places), *_next(results, places, run.model, worse), *_engine(run)):
        console.print(text)
    console.print(_cost(seconds), style="dim")


def _engine(run: RunSpec) -> Iterator[str]:
    """Say what an engine has computed, and what it has not."""
    if engine := run.hardware.engine:
        where = place_of(engine).in_words
        yield f"Feature tables and joins in time: by {where}; tables, examples and all else: by this process"


def _verdict(metrics: Metrics) -> Text:
    """Say first what the metrics come to."""
    if metrics.verdict is None:
        return Text("no verdict: evaluated by an earlier version")
    return Text(metrics.verdict.in_words, _COLOURS.get(metrics.verdict.kind, "default"))


def _metrics(result: Metrics, model: str) -> Table:
    """Lay out the metrics of model and baseline on the test period, their difference and its interval."""
    table = Table(title=f"Test period, {result.rows:,} rows", title_justify="left", box=None, pad_edge=False)
    table.add_column("metric")
    table.add_column(model, justify="right")
    if result.baseline is None:
        for name, value in result.candidate.items():
            table.add_row(name, _number(value))
        return table
    interval = f"{100 * result.confidence:.4g}% interval, by {result.cluster_by}"
    for heading in (result.baseline_name or "baseline", "difference", interval):
        table.add_column(heading, justify="right")
    for name, value in result.candidate.items():
        difference = result.differences[name]
        table.add_row(
            name,
            _number(value),
            _number(result.baseline[name]),
            _number(difference.difference, "+"),
            f"{_number(difference.low, '+')} … {_number(difference.high, '+')}",
        )
    return table


def _warnings(results: Mapping[str, Artifact]) -> Iterator[Text]:
    if "trained_model" in results:
        notes = FitSummary.read(results["trained_model"].path).notes()
        yield from _first("Model: ", notes, "the model card")
    if "tables" in results:
        yield from _first("Data: ", TablesFacts.read(results["tables"].path).warnings, "`kedro data check`")


def _first(what: str, warnings: Sequence[str], more_in: str) -> Iterator[Text]:
    """Say what is odd about data or model, as much as fits above the rest."""
    for warning in warnings[:_WARNINGS]:
        yield Text.assemble((what, "yellow"), warning)
    if (more := len(warnings) - _WARNINGS) > 0:
        yield Text(f"{what}{more} more warnings, which {more_in} names")


def _groups(metrics: Metrics) -> Iterator[str]:
    """Say which groups the metrics of rankings are means over."""
    if facts := metrics.ranking:
        left_out = f"{facts.without_positive:,} of {facts.groups:,} groups have no positive row and are left out"
        yield f"Ranked within {facts.within}: {left_out}"


def _unknown(metrics: Metrics) -> Iterator[str]:
    """Say how many rows of the test are of keys that training has not seen, and how good the model is there."""
    name = next(iter(metrics.candidate))
    sides = {(one.column, one.value): one for one in metrics.slices}
    for (column, value), one in sides.items():
        known = sides.get((column, "known"))
        if value != "unknown" or known is None or one.share < _FEW_UNKNOWN:
            continue
        figures = f"{name} {_number(one.candidate)} there, {_number(known.candidate)} on the others"
        yield f"{one.share:.0%} of the test rows are of a {column} that training has not seen: {figures}"


def _number(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.4f}"


def _drift(result: DriftResult) -> Text:
    flagged = [column.name for column in result.columns if column.verdict != "ok"]
    colour = {"ok": "green", "warn": "yellow", "drift": "red"}.get(result.verdict, "default")
    more = ", …" if len(flagged) > 5 else ""
    those = f" ({', '.join(flagged[:5])}{more})" * (len(flagged) > 1)  # a single one is in the words already
    return Text.assemble("Drift verdict: ", (result.words, colour), those)


def _consistency(result: Consistency) -> Text:
    wrong = [one.feature for one in result.comparisons if one.mismatches]
    text = f"Online values: {result.mismatches:,} of {result.present:,} differ from those for training"
    more = ", …" if len(wrong) > 5 else ""
    if not wrong:
        return Text(text)
    return Text.assemble((text, "red"), f" ({', '.join(wrong[:5])}{more}): `kedro features check`")


def _reports(results: Mapping[str, Artifact], places: Places) -> Iterator[str]:
    for name, title in _TITLES.items():
        if name in results:
            yield f"{title + ':':<12} {places.shown(name) / REPORTS[name]}"


def _next(results: Mapping[str, Artifact], places: Places, model: ModelSpec, worse: bool) -> Iterator[str | Text]:
    """Propose what to do next, as lines to copy; never to serve a model that is worse than its baseline."""
    yield Text("Next", "bold")
    if "bento" in results and not worse:
        yield f"  serve it          {serve(places.at('bundle'))}"
    elif "bundle" in results and not worse:
        yield f"  make it servable  {run_again('--pipelines=' + ','.join(SERVED))}"
    key, _, value = (model.components[model.score].example_change or "").partition("=")
    key = f"model.components.{model.score}.{key}"
    if value and not is_set(key) and not repeats():
        yield f"  change the model  {run_again(f'{key}={value}')}"
    yield f"  check for drift   {run_again('--pipelines=monitor')}"
    yield f"  look at it all    {workspace()}"


def _cost(seconds: Mapping[str, float]) -> str:
    steps = " · ".join(f"{name} {value:.1f}" for name, value in seconds.items() if value >= 0.05)
    return f"CPU {cpu_seconds():.1f} s, peak memory {in_words(peak_memory())}; seconds: {steps or 'nothing to do'}"
