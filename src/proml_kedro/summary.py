"""What a run says at its end: how good, how sure, where things lie, what to do next."""

from __future__ import annotations

import resource
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proml_kedro.artifacts import Artifact
from proml_kedro.command_line import program, run_again, workspace
from proml_kedro.spec import RunSpec

_REPORTS = {
    "evaluation": ("Evaluation", "report.md"),
    "bundle": ("Model card", "card.md"),
    "drift": ("Drift", "drift.html"),
}


def show(results: Mapping[str, Artifact], run: RunSpec, seconds: Mapping[str, float]) -> None:
    """Print the summary to standard output.

    Args:
        results: The artefacts of this run, by dataset name.
        run: What was run.
        seconds: How long each node took.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)  # users may write [a] and :b:
    problem, model = run.problem.name, run.model.name
    console.print(Text.assemble("\n", (problem, "bold"), " · model ", (model, "bold")))
    if "evaluation" in results:
        console.print(_metrics(results["evaluation"], model))
        for line in _groups(results["evaluation"]):
            console.print(line)
    if "drift" in results:
        console.print(_drift(results["drift"]))
    if "consistency" in results:
        console.print(_consistency(results["consistency"]))
    places = Path(run.data_dir) / problem / model
    for text in (*_reports(results, places), *_next(results, places, model)):
        console.print(text)
    console.print(_cost(seconds), style="dim")


def _metrics(evaluation: Artifact, model: str) -> Table:
    """The metrics of the model and its baseline on the test period, with the difference and its interval."""
    result = evaluation.json("metrics.json")
    table = Table(title=f"Test period, {result['rows']:,} rows", title_justify="left", box=None, pad_edge=False)
    table.add_column("metric")
    table.add_column(model, justify="right")
    if result["baseline"] is None:
        for name, value in result["candidate"].items():
            table.add_row(name, _number(value))
        return table
    interval = f"{result['confidence']:.0%} interval, by {result['cluster_by']}"
    for heading in (result["baseline_name"], "difference", interval):
        table.add_column(heading, justify="right")
    for name, value in result["candidate"].items():
        difference = result["differences"][name]
        table.add_row(
            name,
            _number(value),
            _number(result["baseline"][name]),
            _number(difference["difference"], "+"),
            f"{_number(difference['low'], '+')} … {_number(difference['high'], '+')}",
        )
    return table


def _groups(evaluation: Artifact) -> Iterator[str]:
    """What the metrics of rankings are taken over."""
    facts = evaluation.json("metrics.json")["ranking"]
    if facts:
        left_out = f"{facts['without_positive']:,} of {facts['groups']:,} groups have no positive row and are left out"
        yield f"Ranked within {facts['within']}: {left_out}"


def _number(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.4f}"


def _drift(drift: Artifact) -> Text:
    result = drift.json("drift.json")
    flagged = [column["name"] for column in result["columns"] if column["verdict"] != "ok"]
    colour = {"ok": "green", "warn": "yellow", "drift": "red"}.get(result["verdict"], "default")
    text = Text.assemble("Drift verdict: ", (result["verdict"], colour))
    if flagged:
        text.append(f" ({len(flagged)} of {len(result['columns'])} columns differ: {', '.join(flagged[:5])}")
        text.append(", …)" if len(flagged) > 5 else ")")
    return text


def _consistency(consistency: Artifact) -> Text:
    result = consistency.json("consistency.json")
    wrong = [one["feature"] for one in result["comparisons"] if one["mismatches"]]
    text = f"Online values: {result['mismatches']:,} of {result['present']:,} differ from those for training"
    more = ", …" if len(wrong) > 5 else ""
    if not wrong:
        return Text(text)
    return Text.assemble((text, "red"), f" ({', '.join(wrong[:5])}{more}): `kedro features check`")


def _reports(results: Mapping[str, Artifact], places: Path) -> Iterator[str]:
    for name, (title, file) in _REPORTS.items():
        if name in results:
            yield f"{title + ':':<12} {places / name / file}"


def _next(results: Mapping[str, Artifact], places: Path, model: str) -> Iterator[str | Text]:
    """What to do next, as lines to copy."""
    yield Text("Next", "bold")
    if "bento" in results:
        yield f"  serve it          {program('bentoml')} serve {shlex.quote(str((places / 'bento').absolute()))}"
    if model == "xgboost":
        yield f"  change the model  {run_again('model.components.trees.params.max_depth=4')}"
    yield f"  check for drift   {run_again('--pipelines=monitor')}"
    yield f"  look at it all    {workspace()}"


def _cost(seconds: Mapping[str, float]) -> str:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    steps = " · ".join(f"{name} {value:.1f}" for name, value in seconds.items() if value >= 0.05)
    return f"CPU {cpu:.1f} s, peak memory {usage.ru_maxrss / 1024:.0f} MB; seconds: {steps or 'nothing to do'}"
