"""`kedro anomalies`: what is unusual of figures over time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.anomaly_labels import label_command, labels_command, store_of, tune_command
from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.results.anomalies import Anomalies, Anomaly

FOUND = 1
"""Exit code with --strict when there are anomalies."""

_HELP = """Find what is unusual of the figures that `monitoring.anomalies` declares.

    Each figure is looked at over time, of all rows and of each frequent value of its dimensions; what a detector says
    of a period rests on earlier ones alone. Only periods that are over are looked at. Prints the anomalies, the newest
    first; exit code 0, or with --strict 1 when there are any.
    """


def make_group() -> click.Group:
    """Make the group `anomalies`."""
    group = click.Group("anomalies", help="Look at what is unusual of figures over time.")
    group.add_command(_detect_command())
    group.add_command(label_command())
    group.add_command(labels_command())
    group.add_command(tune_command())
    return group


def _detect_command() -> click.Command:
    return Command(
        "detect",
        callback=_detect,
        params=[
            overrides_argument(),
            click.Option(["--since"], help="Show anomalies that end after this day or moment."),
            click.Option(["--until"], help="Look at periods that are over by then; now when left out."),
            click.Option(["-o", "--output"], type=click.Path(path_type=Path), help="Folder for anomalies.json."),
            click.Option(["--strict"], is_flag=True, help="Exit with 1 when there are anomalies."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            *configuration_options(),
        ],
        help=_HELP,
    )


def _detect(overrides: tuple[str, ...], env: str | None, conf_source: str, output: Path | None, **more: Any) -> None:
    from dataclasses import replace

    from proml_kedro.project import Project

    begin, end = moment_of(more["since"], "--since"), moment_of(more["until"], "--until") or datetime.now(UTC)
    found = find(Project(conf_source, overrides, env), end)
    found = replace(found, anomalies=tuple(one for one in found.anomalies if begin is None or one.end > begin))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        found.write(output)
    if more["as_json"]:
        click.echo(json.dumps(found.as_dict()))
    else:
        click.echo("\n".join(as_text(found)).encode(errors="backslashreplace"))
    if more["strict"] and found.anomalies:
        sys.exit(FOUND)


def find(project: Project, until: datetime) -> Anomalies:
    """Read the tables of a project's problem, and find the anomalies of its figures."""
    from proml_kedro.health.anomalies.watch import feedback_of, watch

    spec, store = project.spec, store_of(project)
    tables = project.run(results=("tables",))["tables"].path if spec.monitoring.anomalies.monitors else Path()
    files = {name: tables / f"{name}.parquet" for name in spec.problem.tables}
    anomalies, base = spec.monitoring.anomalies, project.data_dir.parent
    found = watch(anomalies, files, base, spec.hardware, until, feedback_of(store))
    store.remember(found.anomalies)
    return found


def as_text(found: Anomalies) -> Iterator[str]:
    """Lay anomalies out, as lines."""
    from proml_kedro.commands.render import table

    if found.anomalies:
        heading = ("id", "metric", "dimension", "from", "until", "current", "baseline", "change", "strength", "events")
        yield table([heading, *(_row(one) for one in found.anomalies)])
        yield ""
    for one in found.watched:
        span = f"{one.begin:%Y-%m-%d %H:%M} to {one.end:%Y-%m-%d %H:%M}"
        number = sum(each.monitor == one.monitor for each in found.anomalies)
        told = f"{one.judged:.0%} of {one.series} x {one.periods} periods could be judged"
        yield f"{one.monitor}: {number} anomalies, {span}; {told}"
    yield from found.notices


def _row(one: Anomaly) -> tuple[str, ...]:
    form = "%Y-%m-%d" if one.begin.hour == one.end.hour == one.begin.minute == one.end.minute == 0 else "%Y-%m-%d %H:%M"
    return (
        one.id,
        one.monitor,
        f"{one.dimension} = {one.value}" if one.value else one.dimension,
        one.begin.strftime(form),
        one.end.strftime(form),
        f"{one.current:.4g}",
        f"{one.expected:.4g}",
        "" if one.change is None else f"{one.change:+.1%}",
        f"{one.strength:.1f}",
        ", ".join(one.events),
    )


def moment_of(text: str | None, option: str) -> datetime | None:
    """Read a moment of the command line; without a zone it is UTC.

    Raises:
        UserError: It is none.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"'{text}' is no moment; write 2013-09-01, or 2013-09-01T12:00"
        raise UserError(Mistake("", message, f"option {option}")) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
