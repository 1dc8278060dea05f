"""`kedro runs …`: which runs there were, how each ended, and what it cost."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.errors import Mistake, UserError, masked, shortened, unknown
from proml_kedro.hardware import in_words

if TYPE_CHECKING:
    from proml_kedro.release.changes import Changes
    from proml_kedro.results import RunRecord

_LIST = """List runs, the newest first: when, what came of it, how long, the first metric, and what was changed.

    Trials of searches are runs too; their figures are of the validation part. A file that is no record is named and
    left out.
    """
_DIFF = """Say what changed from run A to run B: configuration, data and code, versions, metrics.

    Both are named by the beginning of their ids.
    """
_SHOW = "Say all that is known of a run. ID is the beginning of its id, or of its file's name."

_LEAST = 20
"""Characters that the last column has on the narrowest screen."""


def make_group() -> click.Group:
    """Make the group `runs`."""
    group = click.Group("runs", help="Look at the runs there were, how each ended and what it cost.")
    limit = click.Option(["--limit"], type=click.IntRange(1, 1000), default=20, show_default=True, help="At most.")
    trials = click.Option(["--trials/--no-trials"], default=True, help="Trials of searches too.", show_default=True)
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
    name = click.Argument(["name"], metavar="ID")
    pair = [click.Argument(["before"], metavar="A"), click.Argument(["after"], metavar="B")]
    for title, callback, params, text in (
        ("diff", _diff, [*pair, overrides_argument(), as_json], _DIFF),
        ("list", _list, [overrides_argument(), limit, trials, as_json], _LIST),
        ("show", _show, [name, overrides_argument(), as_json], _SHOW),
    ):
        group.add_command(Command(title, callback=callback, params=[*params, *configuration_options()], help=text))
    return group


def _records(
    overrides: Sequence[str], env: str | None, conf_source: str, trials: bool = True
) -> Iterator[tuple[Path, RunRecord, str]]:
    """Yield file, record and state of each run, the newest first, with trials of searches or without."""
    from proml_kedro.project import Project
    from proml_kedro.results.run_record import read_records
    from proml_kedro.results.trial import trial_records
    from proml_kedro.workflow.recording import state_of

    data_dir = Project(conf_source, overrides, env).data_dir
    of_searches = trial_records(data_dir, _say) if trials else ()
    for file, record in merge(read_records(data_dir, _say), of_searches, key=lambda one: one[1].started, reverse=True):
        yield file, record, state_of(file, record)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _list(
    overrides: tuple[str, ...], limit: int, trials: bool, as_json: bool, env: str | None, conf_source: str
) -> None:
    found = list(islice(_records(overrides, env, conf_source, trials), limit))
    if as_json:
        click.echo(json.dumps([_plain(*one) for one in found], ensure_ascii=False))
    elif not found:
        click.echo("no runs yet")
    else:
        for line in as_table([(record, state) for _, record, state in found], _width()):
            click.echo(line)


def _diff(
    before: str, after: str, overrides: tuple[str, ...], as_json: bool, env: str | None, conf_source: str
) -> None:
    from proml_kedro.project import Project
    from proml_kedro.release.changes import find_changes

    found = list(_records(overrides, env, conf_source))
    one, other = (_meant(found, name)[1] for name in (before, after))
    changes = find_changes(one, other, Project(conf_source, overrides, env).store())
    if as_json:
        click.echo(masked(json.dumps(asdict(changes), ensure_ascii=False)))
        return
    for line in differences(changes):
        click.echo(masked(line))


def _show(name: str, overrides: tuple[str, ...], as_json: bool, env: str | None, conf_source: str) -> None:
    found = list(_records(overrides, env, conf_source))
    plain = _plain(*_meant(found, name))
    click.echo(json.dumps(plain, ensure_ascii=False, indent=1) if as_json else "\n".join(as_text(plain)))


def _meant(found: Sequence[tuple[Path, RunRecord, str]], name: str) -> tuple[Path, RunRecord, str]:
    meant = [one for one in found if one[1].id == name]  # the first trial's id begins that of the tenth
    meant = meant or [one for one in found if one[1].id.startswith(name) or one[0].name.startswith(name)]
    if len(meant) != 1:
        ids = [record.id for _, record, _ in found]
        several = f"'{name}' begins the ids of {len(meant)} runs; write more of it"
        raise UserError(Mistake("", several if meant else f"{unknown('run', name, ids)} See `kedro runs list`."))
    return meant[0]


def differences(changes: Changes) -> Iterator[str]:
    """Lay out what changed between two runs, as lines."""
    for title, pairs in (
        ("run", changes.facts),
        ("configuration", changes.configuration),
        ("versions", changes.versions),
    ):
        if pairs:
            yield f"{title}:"
            yield from (f"  {name}: {one} -> {other}" for name, (one, other) in pairs.items())
    anew = {name: why for name, why in changes.results.items() if why}
    if anew:
        yield "results:"
        yield from (f"  {name}: {why}" for name, why in anew.items())
    if changes.metrics:
        yield "metrics:"
        yield from (f"  {name}: {_change(*pair)}" for name, pair in changes.metrics.items())
    if not (changes.facts or changes.configuration or changes.versions or anew or changes.metrics):
        yield f"nothing changed: {len(changes.results)} results are the same"


def _change(one: float | None, other: float | None) -> str:
    if one is None or other is None:
        return " -> ".join("none" if value is None else f"{value:.4f}" for value in (one, other))
    return f"{one:.4f} -> {other:.4f} ({other - one:+.4f})"


def _plain(file: Path, record: RunRecord, state: str) -> dict[str, Any]:
    return {**record.as_dict(), "state": state, "file": str(file)}


def _width() -> int | None:
    """Return the columns of the screen; None where output goes elsewhere, which has no width."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None


def as_table(found: Sequence[tuple[RunRecord, str]], width: int | None) -> Iterator[str]:
    """Lay out runs as lines.

    Args:
        found: Each run with its state.
        width: Characters of a line, which the last column is shortened to; None for no limit.
    """
    rows = [("id", "started (UTC)", "result", "seconds", "metric", "changed")]
    rows += [_row(record, state) for record, state in found]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    left = max(_LEAST, width - sum(widths) - 2 * len(widths)) if width else None
    for *cells, last in rows:
        line = "  ".join(cell.ljust(size) for cell, size in zip(cells, widths, strict=True))
        yield f"{line}  {shortened(last, left) if left else last}".rstrip()


def _row(record: RunRecord, state: str) -> tuple[str, str, str, str, str, str]:
    metric = next(iter(record.metrics.items()), None)
    value = "" if metric is None else f"{metric[0]} {'undefined' if metric[1] is None else format(metric[1], '.4f')}"
    drift = record.verdicts.get("drift")
    verdicts = [record.verdicts.get("evaluation"), f"drift: {drift}" if drift else None]
    result = ", ".join(filter(None, verdicts)) if state == "done" else ""
    seconds = "" if record.seconds is None else f"{record.seconds:.1f}"
    changed = " ".join(record.overrides) or f"{record.problem} {record.model}"
    error = f"  [{record.error.text}]" if record.error else ""
    return record.id, record.started[:19].replace("T", " "), result or state, seconds, value, changed + error


def as_text(plain: dict[str, Any]) -> Iterator[str]:
    """Lay out all that is known of a run, as lines.

    Args:
        plain: The record as plain values, with its state and file.
    """
    for name, value in plain.items():
        if value is None or value in ({}, []):
            continue
        title = name.replace("_", " ")
        if isinstance(value, dict):
            yield f"{title}:"
            yield from (f"  {key}: {_value(key, one)}" for key, one in value.items() if one is not None)
        else:
            yield f"{title}: {_value(name, value)}"


def _value(name: str, value: Any) -> str:
    if name == "peak_memory":
        return in_words(value)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
