"""`kedro health report`: how good a model is from period to period, from its log and labels that come later."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command
from proml_kedro.commands.moments import moment_of
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.results.health import HealthReport

WORSE, UNKNOWN = 1, 3
"""Exit codes with --strict: the model is worse than expected; nothing can be told."""

_HELP = """Judge a model's logged predictions by labels that come later, period by period.

    LABELS is a table (CSV, Parquet, …) with the columns `label` and `known_at`, the moment since when it is known, and
    either `request_id` and `row` as the log has them, or all keys of the examples and their moment as `as_of`. A label
    counts from its `known_at` on, never before; of several the newest one does.

    Where labels are still to come, metrics of truth values are estimated from the scores, and marked as such, as long
    as the inputs are like the bundle's reference. What the bundle's `monitoring.health` says is what options leave out.
    """


def health_report_command() -> click.Command:
    """Make the command `report`."""
    file = click.Path(path_type=Path)
    return Command(
        "report",
        callback=_report,
        params=[
            click.Option(["--reference"], type=file, required=True, help="Folder of the bundle that was served."),
            click.Option(["--log"], type=file, required=True, help="Log of predictions: its folder, or a file of it."),
            click.Option(["--labels"], type=file, help="Table of labels."),
            click.Option(["--at"], help="Moment of the report, such as 2013-09-01T12:00; now when left out."),
            click.Option(["--every"], help="Length of a period, such as 1d."),
            click.Option(["--matures-after"], help="Age from which on a label counts as settled, such as 14d."),
            click.Option(
                ["--slice", "slices"], multiple=True, help="Key or feature to tell the first metric apart by."
            ),
            click.Option(["-o", "--output"], type=file, help="Folder for health.json and health.md."),
            click.Option(
                ["--strict"], is_flag=True, help="Exit with 1 when worse than expected, 3 when not to be told."
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def _report(reference: Path, log: Path, labels: Path | None, at: str | None, output: Path | None, **more: Any) -> None:
    from proml_kedro.health.over_time.report import Asked, health_of_bundle, report_health
    from proml_kedro.health.over_time.write import write_health

    declared = health_of_bundle(reference).model_dump(mode="json")
    asked = {name: more[name] for name in ("every", "matures_after") if more[name] is not None}
    asked |= {"slices": list(more["slices"])} if more["slices"] else {}
    report = report_health(
        Asked(reference, log, labels, moment_of(at, "--at") or datetime.now(UTC), _checked({**declared, **asked}))
    )
    _show(report, more["as_json"])
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_health(output, report)
    if more["strict"] and report.verdict != "as expected":
        sys.exit(WORSE if report.verdict == "worse" else UNKNOWN)


def _checked(content: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from proml_kedro.spec.model_health import HealthSpec

    try:
        return HealthSpec.model_validate(content)
    except ValidationError as error:
        one = error.errors(include_url=False)[0]
        option = f"option --{str(one['loc'][0]).replace('_', '-')}"
        raise UserError(Mistake("", one["msg"].removeprefix("Value error, "), option)) from error


def _show(report: HealthReport, as_json: bool) -> None:
    from proml_kedro.commands.render import table
    from proml_kedro.health.over_time.write import sections

    if as_json:
        click.echo(json.dumps({**report.as_dict(), "verdict": report.verdict, "words": report.words}))
        return
    lines = [f"{report.model}: {report.words}"]
    for heading, rows in sections(report):
        lines += [f"\n{heading}:"] if heading else []
        lines.append(table(rows))
    lines += ["", f"As known at {report.at.isoformat()}; intervals of {report.confidence:.0%} by {report.cluster_by}."]
    click.echo("\n".join([*lines, *report.notices]).encode(errors="backslashreplace"))
