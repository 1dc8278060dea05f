"""`kedro anomalies`: what is unusual of figures over time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.anomaly_alert import UNDELIVERED, tell
from proml_kedro.commands.anomaly_explain import explain_command
from proml_kedro.commands.anomaly_labels import label_command, labels_command, tune_command
from proml_kedro.commands.anomaly_watch import find, store_of
from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.commands.moments import moment_of
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.results.anomalies import Anomalies, Anomaly

FOUND = 1
"""Exit code with --strict when there are anomalies."""

_HELP = """Find what is unusual of the figures that `monitoring.anomalies` declares.

    Each figure is looked at over time, of all rows and of each frequent value of its dimensions; what a detector says
    of a period rests on earlier ones alone. Only periods that are over are looked at. Prints the anomalies, the newest
    first; exit code 0, or with --strict 1 when there are any. With --alert, 4 when a message was not delivered.
    """


def make_group() -> click.Group:
    """Make the group `anomalies`."""
    group = click.Group("anomalies", help="Look at what is unusual of figures over time.")
    group.add_command(_detect_command())
    group.add_command(explain_command())
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
            click.Option(
                ["-o", "--output"],
                type=click.Path(path_type=Path),
                help="Folder for anomalies.json and anomalies.html.",
            ),
            click.Option(["--strict"], is_flag=True, help="Exit with 1 when there are anomalies."),
            click.Option(["--alert"], is_flag=True, help="Tell the receivers of monitoring.anomalies.alerts."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            *configuration_options(),
        ],
        help=_HELP,
    )


def _detect(overrides: tuple[str, ...], env: str | None, conf_source: str, output: Path | None, **more: Any) -> None:
    from dataclasses import replace

    from proml_kedro.atomic import write_whole
    from proml_kedro.health.anomalies.page import PAGE, page_of
    from proml_kedro.project import Project

    begin, end = moment_of(more["since"], "--since"), moment_of(more["until"], "--until") or datetime.now(UTC)
    if begin is not None and begin >= end:
        until = f"--until {more['until']}" if more["until"] else f"now, {end:%Y-%m-%d %H:%M}"
        message = f"{more['since']} is not before {until}: no anomaly could be shown"
        raise UserError(Mistake("", message, "option --since"))
    project = Project(conf_source, overrides, env)
    board = whole = find(project, end)
    shown = tuple(one for one in board.found.anomalies if begin is None or one.end > begin)
    board = replace(board, found=replace(board.found, anomalies=shown))
    found = board.found
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        found.write(output)
        write_whole(output / PAGE, page_of(board, store_of(project).answered()))
    if more["as_json"]:
        click.echo(json.dumps(found.as_dict()))
    else:
        click.echo("\n".join(as_text(found)).encode(errors="backslashreplace"))
    undelivered = tell(project, whole) if more["alert"] else False
    if more["strict"] and found.anomalies:
        sys.exit(FOUND)
    if undelivered:
        sys.exit(UNDELIVERED)


def as_text(found: Anomalies) -> Iterator[str]:
    """Lay anomalies out, as lines."""
    from proml_kedro.commands.render import table
    from proml_kedro.health.anomalies.page import watched_lines

    if found.anomalies:
        heading = ("id", "metric", "dimension", "from", "until", "current", "baseline", "change", "strength", "events")
        yield table([heading, *(_row(one) for one in found.anomalies)])
        yield ""
    yield from watched_lines(found)


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
