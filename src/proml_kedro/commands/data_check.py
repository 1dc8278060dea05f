"""`kedro data check`: read every table of the problem, and say how each column was read and what is odd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument

if TYPE_CHECKING:
    from proml_kedro.results import TablesFacts

_HELP = """Read every table of the problem, and say how.

    Prints each column with its type and what decided it, then what is odd. All cells that cannot be read, of all
    tables, are one report with counts, samples and the line of YAML that mends them; exit code 2. The next run takes
    the tables over.
    """


def check_command() -> click.Command:
    """Make the command `check`."""
    return Command("check", callback=_check, params=[overrides_argument(), *configuration_options()], help=_HELP)


def _check(overrides: tuple[str, ...], env: str | None, conf_source: str) -> None:
    from proml_kedro.project import Project
    from proml_kedro.results import TablesFacts

    project = Project(conf_source, overrides, env)
    tables = project.run(results=("tables",))["tables"]
    for line in as_text(TablesFacts.read(tables.path)):
        click.echo(line)


def as_text(facts: TablesFacts) -> Iterator[str]:
    """Lay out how tables were read, as lines.

    Args:
        facts: What is known of them.
    """
    rows = [
        (table if position == 0 else "", name, one.type, one.why)
        for table, columns in facts.columns.items()
        for position, (name, one) in enumerate(columns.items())
    ]
    yield from _aligned([("table", "column", "type", "why"), *rows])
    yield ""
    for entity, key in facts.keys.items():
        yield f"key {entity}: {key.type} in {', '.join(key.forms) or 'no table'}"
    for table, count in facts.rows.items():
        yield f"{table}: {count:,} rows"
    for warning in facts.warnings:
        yield f"warning: {warning}"
    yield f"{len(facts.rows)} tables read, {len(facts.warnings)} warnings"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths: Mapping[int, int] = {place: max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)}
    for row in rows:
        yield "  ".join([*(cell.ljust(widths[place]) for place, cell in enumerate(row[:-1])), row[-1]]).rstrip()
