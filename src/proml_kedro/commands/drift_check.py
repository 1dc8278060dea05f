"""`kedro drift check`: compare current rows with what a bundle remembers, without Kedro's pipelines or the model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proml_kedro.commands.base import Command

if TYPE_CHECKING:
    from proml_kedro.results import DriftResult

DRIFTED, INSUFFICIENT = 1, 3
"""Exit codes for data that has drifted, and with --strict for too few rows."""

_HELP = """Tell whether current rows are like those that the model of a bundle is for.

    The bundle remembers, in reference.json, a few numbers of each column, the limits, and how far columns move by
    themselves. Current rows are a table (CSV, Parquet, JSON lines, …) with columns named as the features are, and
    perhaps `score` and `label`, or the log of a server. The model is not loaded.

    Exit code 0 when they are like the reference, or no more than differ from it; 1 when they have drifted; 2 when
    something cannot be read; 3, with --strict, when there are too few rows to tell.
    """


def drift_check_command() -> click.Command:
    """Make the command `check`."""
    file = click.Path(path_type=Path)
    return Command(
        "check",
        callback=_check,
        params=[
            click.Option(["--reference"], type=file, required=True, help="Folder of a bundle."),
            click.Option(
                ["--current"], type=file, required=True, help="Table, or log of predictions or requests, to check."
            ),
            click.Option(["-o", "--output"], type=file, help="Folder for drift.json, .md, .xml (JUnit) and .png."),
            click.Option(["--strict"], is_flag=True, help="Exit with 3 when there are too few rows."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def _check(reference: Path, current: Path, output: Path | None, strict: bool, as_json: bool) -> None:
    from proml_kedro.health.check_table import check_table

    name, result = check_table(reference, current)
    _show(name, result, as_json)
    _write(name, result, output)
    if result.verdict == "drift":
        sys.exit(DRIFTED)
    if strict and result.verdict == "insufficient":
        sys.exit(INSUFFICIENT)


def _show(name: str, result: DriftResult, as_json: bool) -> None:
    from proml_kedro.commands.render import table

    if as_json:
        click.echo(json.dumps({"model": name, **result.as_dict()}))
        return
    lines = [f"{name}: {result.words}"]
    rows = [(one.name, one.words, one.message) for one in result.columns if one.reasons]
    if rows:
        lines.append(table([("column", "verdict", "what was measured"), *rows]))
    lines.append(f"{result.current_rows:,} current rows against {result.reference_rows:,} of the reference.")
    # A name that is no UTF-8 is shown escaped, as on standard error.
    click.echo("\n".join([*lines, *result.notices]).encode(errors="backslashreplace"))


def _write(name: str, result: DriftResult, output: Path | None) -> None:
    """Write the verdict into a folder, and onto the page of a CI job."""
    from proml_kedro.health.report import show_in_ci, write_result

    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_result(output, result, name)
    show_in_ci(result, name)
