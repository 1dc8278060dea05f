"""`kedro compare`: models against the first of them, on the examples that all have scored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.release.aligned import Aligned
    from proml_kedro.release.compare import Answer
    from proml_kedro.release.scored import Shelf

_HELP = """Compare models with the first of them, the BASELINE, on the test period.

    A model is a run of `kedro runs list` by the beginning of its id, the folder of a bundle or of an evaluation, or
    the name of a model of the problem, whose newest evaluation is meant. Rows are aligned by example; where labels,
    keys or moments of examples differ, nothing is compared. The first metric decides. With --all every model of the
    problem is in one table; those that have scored other examples are named and left out.

    Exit code 2 when something is wrong.
    """


def compare_command() -> Command:
    """Make the command `compare`."""
    return Command(
        "compare",
        callback=_compare,
        params=[
            click.Argument(["baseline"]),
            click.Argument(["models"], nargs=-1),
            click.Option(["--all", "everything"], is_flag=True, help="Compare every other model of the problem."),
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
    everything: bool,
    as_json: bool,
    **configuration: Any,
) -> None:
    from proml_kedro.release.compare import Question, answer

    if repeated := [one for one in (baseline, *models) if (baseline, *models).count(one) > 1]:
        raise UserError(Mistake("", f"'{repeated[0]}' is named twice"))
    if not models and not everything:
        raise UserError(Mistake("", f"'{baseline}' is compared with nothing: name other models, or write --all"))
    aligned = _aligned(_shelf(**configuration), baseline, models, everything)
    answers = answer(aligned, Question(metric, by, margin))
    if as_json:
        click.echo(json.dumps({"notices": list(aligned.notices), "comparisons": list(map(_plain, answers))}))
        return
    for line in (*aligned.notices, *_lines(answers)):
        click.echo(line)


def _aligned(shelf: Shelf, baseline: str, models: Sequence[str], everything: bool) -> Aligned:
    """Read models and align them; of those that nobody has named, the ones that can be."""
    from proml_kedro.release.aligned import align

    found = [shelf.read(one) for one in (baseline, *models)]
    align(found)
    left = []
    for name in shelf.models() if everything else ():
        if name in (baseline, *models):
            continue
        try:
            align([*found, one := shelf.read(name)])
        except UserError as error:
            left.append(f"{name} is left out: {error.mistakes[0].message}")
        else:
            found.append(one)
    if len(found) < 2:
        raise UserError(Mistake("", "; ".join([f"there is no other model to compare '{baseline}' with", *left])))
    aligned = align(found)
    return replace(aligned, notices=[*left, *aligned.notices])


def _shelf(overrides: tuple[str, ...], env: str | None, conf_source: str) -> Shelf:
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
    if len(answers) > 1:
        yield ""
        yield from _overview(answers)
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
        yield from _table([heading, *_rows(one)])
        yield from (f"no interval for {name}: {d.reason}" for name, d in result.differences.items() if d.reason)


def _overview(answers: Sequence[Answer]) -> Iterator[str]:
    """All models in one table, the best first by the metric that decides, the first one among them."""
    from proml_kedro.evaluation.metric import higher_is_better

    names = list(answers[0].evaluation.candidate)
    decides, level = names[0], f"{100 * answers[0].evaluation.confidence:.4g}% interval"
    figures = {one.name: one.evaluation.candidate for one in answers}
    figures[answers[0].baseline] = answers[0].evaluation.baseline or {}
    of = {one.name: one for one in answers}
    rows = [("model", *names, f"difference in {decides}", level, "p", "")]
    sign = -1 if higher_is_better(decides) else 1
    for model in sorted(figures, key=lambda one: (sign * figures[one][decides], one)):
        found = of[model].evaluation.differences[decides] if model in of else None
        gap = _number(found.difference, "+") if found else ""
        interval = f"{found.low:+.4f} … {found.high:+.4f}" if found and not found.reason else ""
        word = of[model].verdict.kind if model in of else "baseline"
        values = (_number(figures[model][name]) for name in names)
        rows.append((model, *values, gap, interval, _chance(found.p_value) if found else "", word))
    yield from _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Lay out cells: the first and last column to the left, figures to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:-1], widths[1:-1], strict=True))]
        yield "  ".join([*cells, row[-1]]).rstrip()


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
