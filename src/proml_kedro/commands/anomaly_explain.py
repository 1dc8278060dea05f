"""`kedro anomalies explain`: why a figure was unusual."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.anomaly_watch import opened
from proml_kedro.commands.base import Command, configuration_options
from proml_kedro.commands.moments import moment_of
from proml_kedro.errors import Mistake, UserError, unknown

if TYPE_CHECKING:
    from proml_kedro.health.diagnosis.explain import Question
    from proml_kedro.project import Project
    from proml_kedro.results.anomalies import Anomalies
    from proml_kedro.results.diagnosis import Diagnosis

_HELP = """Explain an anomaly, or a metric from --since to --until: which rows made it so, and how.

    Compares the rows of that time with those of usual periods before it, at the same times of a season, and names sets
    of values of the dimensions that changed, what all other rows did, and what it did that other rows came. Where no
    set explains it, other columns of the table are looked at. The parts add up to the change. "Nothing happened",
    "everybody rose" and "outside of the dimensions" are answers.
    """
_SHOWN = 10
_HINT = "`kedro anomalies detect` shows ids"


def explain_command() -> click.Command:
    """Make the command `explain`."""
    return Command(
        "explain",
        callback=_explain,
        params=[
            click.Argument(["words"], nargs=-1, metavar="ID|METRIC [KEY=VALUE]..."),
            click.Option(["--since"], help="With a metric: first day or moment."),
            click.Option(["--until"], help="With a metric: the day or moment after the last."),
            click.Option(["-o", "--output"], type=click.Path(path_type=Path), help="Folder for diagnosis.json."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            *configuration_options(),
        ],
        help=_HELP,
    )


def _explain(words: tuple[str, ...], env: str | None, conf_source: str, output: Path | None, **more: Any) -> None:
    from proml_kedro.project import Project

    named = [word for word in words if "=" not in word]
    if len(named) != 1:
        raise UserError(Mistake("", f"write the ID of one anomaly, or one METRIC; {_HINT}", "arguments"))
    since, until = moment_of(more["since"], "--since"), moment_of(more["until"], "--until")
    project = Project(conf_source, tuple(word for word in words if "=" in word), env)
    found = diagnosis_of(project, named[0], since, until)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        found.write(output)
    lines = json.dumps(found.as_dict()) if more["as_json"] else "\n".join(as_text(found))
    click.echo(lines.encode(errors="backslashreplace"))


def diagnosis_of(project: Project, name: str, since: datetime | None, until: datetime | None) -> Diagnosis:
    """Explain an anomaly by its id, or a metric from one moment to another.

    Raises:
        UserError: There is none of that name, or the times do not fit.
    """
    from proml_kedro.health.diagnosis.explain import explain

    monitors = project.spec.monitoring.anomalies.monitors
    if name in monitors and (since is None or until is None or since >= until):
        raise UserError(Mistake("", f"metric '{name}' takes --since, and --until after it", "arguments"))
    if name not in monitors and (since or until):
        raise UserError(
            Mistake("", f"go with a metric ({', '.join(monitors)}), and '{name}' is none", "options --since, --until")
        )
    with opened(project, datetime.now(UTC)) as watch:
        found = watch.run()
        question = _question(found, name, since, until)
        return explain(watch, question, found.anomalies)


def _question(found: Anomalies, name: str, since: datetime | None, until: datetime | None) -> Question:
    from proml_kedro.health.diagnosis.explain import Question
    from proml_kedro.results.anomalies import ALL

    if since is not None and until is not None:
        return Question(name, ALL, "", since, until)
    known = {one.id: one for one in found.anomalies}
    if name not in known:
        names = [*known, *(one.monitor for one in found.watched)]
        raise UserError(Mistake("", f"{unknown('anomaly or metric', name, names)}; {_HINT}", "arguments"))
    return Question.of(known[name])


def as_text(found: Diagnosis) -> Iterator[str]:
    """Lay a diagnosis out, as lines."""
    from proml_kedro.commands.render import table
    from proml_kedro.health.diagnosis.words import named

    of = f" of {found.dimension} = {found.value}" if found.value else ""
    yield f"{found.monitor}{of}, {found.begin:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M}: {found.words}"
    yield f"{found.rows:,} rows against {found.rows_before:,} of {found.periods_before} usual periods before"
    yield ""
    heading = ("what", "rows", "current", "expected", "moved by", "")
    titles = {"everybody": "all other rows", "mix": "other rows came"}
    rows = [
        (
            titles.get(one.kind) or named(one.values),
            f"{one.rows:,} ({one.share:.0%})",
            f"{one.current:.4g}",
            f"{one.expected:.4g}",
            f"{one.points:+.4g}",
            "" if one.sure else "within chance",
        )
        for one in found.parts
    ]
    yield table([heading, *rows])
    if found.values:
        yield ""
        yield table([("single value", "share", "before", "current", "before", "by rate", "by mix"), *_values(found)])
    yield from _beside(found)


def _values(found: Diagnosis) -> Iterator[tuple[str, ...]]:
    for one in found.values[:_SHOWN]:
        yield (
            f"{one.dimension} = {one.value}",
            f"{one.share:.1%}",
            f"{one.share_before:.1%}",
            "-" if one.current is None else f"{one.current:.4g}",
            "-" if one.before is None else f"{one.before:.4g}",
            f"{one.rate:+.4g}",
            f"{one.mix:+.4g}",
        )


def _beside(found: Diagnosis) -> Iterator[str]:
    """Lay out what else happened."""
    for one in found.events:
        yield f"event: {one.moment:%Y-%m-%d %H:%M} {one.name}"
    for other in found.related:
        of = f" of {other.dimension} = {other.value}" if other.value else ""
        moves = "" if other.correlation is None else f"correlation {other.correlation:+.2f}"
        told = ", ".join(filter(None, [f"anomaly {other.anomaly}" if other.anomaly else "", moves]))
        yield f"beside: {other.monitor}{of}: {told}"
    yield from found.notices
