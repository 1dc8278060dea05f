"""`kedro compare`: models against the first of them, on the examples that all have scored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.release.compare import Answer

_HELP = """Compare models with the first of them, the BASELINE, on the test period.

    A model is a run of `kedro runs list` by the beginning of its id, the folder of a bundle or of an evaluation, or
    the name of a model of the problem, whose newest evaluation is meant. Rows are aligned by example; where labels,
    keys or moments of examples differ, nothing is compared. The first metric decides.

    Exit code 2 when something is wrong.
    """


def compare_command() -> Command:
    """Make the command `compare`."""
    return Command(
        "compare",
        callback=_compare,
        params=[
            click.Argument(["baseline"]),
            click.Argument(["models"], nargs=-1, required=True),
            click.Option(["--metric"], multiple=True, help="Only these; the first decides. Else those of BASELINE."),
            click.Option(["--by"], help="What makes rows a cluster: day, group, an entity, row. Else as BASELINE's."),
            click.Option(["--margin"], type=click.FloatRange(min=0, min_open=True), help="As good, if worse by less."),
            click.Option(["--set", "overrides"], multiple=True, metavar="KEY=VALUE", help="Configuration to change."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            *configuration_options(),
        ],
        help=_HELP,
    )


def _compare(
    baseline: str,
    models: tuple[str, ...],
    metric: tuple[str, ...],
    by: str | None,
    margin: float | None,
    as_json: bool,
    **configuration: Any,
) -> None:
    from proml_kedro.release.aligned import align
    from proml_kedro.release.compare import Question, answer

    if repeated := [one for one in (baseline, *models) if (baseline, *models).count(one) > 1]:
        raise UserError(Mistake("", f"'{repeated[0]}' is named twice"))
    shelf = _shelf(**configuration)
    aligned = align([shelf.read(one) for one in (baseline, *models)])
    answers = answer(aligned, Question(metric, by, margin))
    if as_json:
        click.echo(json.dumps({"notices": list(aligned.notices), "comparisons": list(map(_plain, answers))}))
        return
    for line in (*aligned.notices, *_lines(answers)):
        click.echo(line)


def _shelf(overrides: tuple[str, ...], env: str | None, conf_source: str) -> Any:
    from proml_kedro.project import Project
    from proml_kedro.release.scored import Shelf
    from proml_kedro.results.run_record import read_records

    project = Project(conf_source, overrides, env)
    records = [one for _, one in read_records(project.data_dir, lambda line: click.echo(line, err=True))]
    return Shelf(project.store(), project.places, records)


def _plain(one: Answer) -> dict[str, Any]:
    return {
        **one.evaluation.as_dict(),
        "candidate_name": one.name,
        "baseline_name": one.baseline,
        "verdict": one.verdict.kind,
        "text": one.verdict.text,
        "advice": one.verdict.advice,
        "remarks": list(one.remarks),
    }


def _lines(answers: Sequence[Answer]) -> Iterator[str]:
    """Say each verdict first, then lay out the figures."""
    for one in answers:
        yield one.verdict.in_words
        yield from (f"{text[:1].upper()}{text[1:]}." for text in one.remarks)
    for one in answers:
        result = one.evaluation
        yield f"\n{result.rows:,} rows, {result.clusters:,} clusters by {result.cluster_by}"
        heading = (
            "metric",
            one.baseline,
            one.name,
            "difference",
            f"{100 * result.confidence:.4g}% interval",
            "p",
            "p of all",
            "",
        )
        rows = [heading, *_rows(one)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(heading))]
        for row in rows:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:-1], widths[1:-1], strict=True))]
            yield "  ".join([*cells, row[-1]]).rstrip()
        yield from (f"no interval for {name}: {d.reason}" for name, d in result.differences.items() if d.reason)


def _rows(one: Answer) -> Iterator[tuple[str, ...]]:
    from proml_kedro.evaluation.metric import higher_is_better

    result = one.evaluation
    for place, (name, value) in enumerate(result.candidate.items()):
        found, base = result.differences[name], (result.baseline or {})[name]
        decides = found.p_value if place == 0 else found.p_adjusted
        is_better = (found.difference > 0) == higher_is_better(name)
        word = ("better" if is_better else "worse") if decides < 1 - result.confidence else ""
        interval = "" if found.reason else f"{found.low:+.4f} … {found.high:+.4f}"
        figures = (_number(base), _number(value), _number(found.difference, "+"), interval)
        yield name, *figures, _chance(found.p_value), _chance(found.p_adjusted), word


def _chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else _number(p)


def _number(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.4f}"
