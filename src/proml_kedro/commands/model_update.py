"""`kedro model update`: let the mixed models of a bundle learn from labelled rows that came later."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command

if TYPE_CHECKING:
    from proml_kedro.models.updates import UpdateFacts
    from proml_kedro.scoring.update import Updated

_HELP = """Let the mixed models of BUNDLE learn from labelled rows that it has not seen, and write another bundle.

    What was known of each entity is where it starts from: entities that have new rows are estimated anew, in every
    effect together, new ones are added, and all else stays: fixed effects, variances, other entities, other
    components. The earlier rows are not needed. It says how far the fixed effects would move, and when a whole refit
    is due. The rows are a table as `kedro predict` takes it, with the columns that the label is made of.

    Rows of a time that the bundle was fitted to, or updated up to, would count double and are refused, as those of an
    earlier update are. It says how many rows equal another one. Exit code 2 when something is wrong; nothing is
    written then.
    """


def update_command() -> click.Command:
    """Make the command `update`."""
    path = click.Path(path_type=Path)
    return Command(
        "update",
        callback=_update,
        params=[
            click.Argument(["bundle"], type=path),
            click.Option(["--rows"], required=True, metavar="TABLE", help="File with labelled rows, or a table."),
            click.Option(["-o", "--output"], type=path, required=True, help="Folder of the new bundle."),
            click.Option(["--component"], help="Only this component of the model learns."),
            click.Option(["--as-of"], help="Look features up as of this moment, for example 2013-12-31T20:00Z."),
            click.Option(
                ["--late-labels"], is_flag=True, help="Rows of a time that was learned from are new: labels came late."
            ),
            click.Option(["--data-dir"], type=path, help="Data folder with the feature tables; else around BUNDLE."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def _update(
    bundle: Path,
    rows: str,
    output: Path,
    component: str | None,
    as_of: str | None,
    data_dir: Path | None,
    **how: bool,
) -> None:
    from proml_kedro.commands.entity import parse_moment
    from proml_kedro.commands.model_effects import load_bundle
    from proml_kedro.hardware import limit_environment
    from proml_kedro.scoring.labelled import LabelledTable
    from proml_kedro.scoring.update import told, update_bundle
    from proml_kedro.spec import HardwareSpec
    from proml_kedro.workflow.scoring import StoredResults

    hardware = HardwareSpec()
    limit_environment(hardware)
    table = LabelledTable(
        bundle=load_bundle(bundle, "BUNDLE"),
        input=rows,
        base_path=Path.cwd(),
        stored=StoredResults(bundle, data_dir),
        hardware=hardware,
        as_of=parse_moment(as_of, "option --as-of") if as_of is not None else None,
    )
    found = update_bundle(table, output, component, how["late_labels"])
    if how["as_json"]:
        click.echo(json.dumps({name: _as_json(one, found) for name, one in found.components.items()}))
        return
    for line in told(found):
        click.echo(line)
    click.echo(f"written to {output}")


def _as_json(one: UpdateFacts, found: Updated) -> dict[str, Any]:
    return {**asdict(one), "repeated_rows": found.rows.repeated, "rows_before_end": found.rows.before}
