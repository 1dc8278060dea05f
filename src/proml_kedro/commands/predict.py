"""`kedro predict`: score a table of any size by a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proml_kedro.commands.base import Command
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.spec import HardwareSpec

_HELP = """Score each row of TABLE by BUNDLE, the folder of a trained model, and write the scores to a file.

    TABLE is a CSV, Parquet or JSON lines file, a folder or glob of Parquet files, or the name of a table of the
    problem. It has the columns of the examples' table, a label excepted, or columns called as inputs are. Features
    that are neither are looked up by the keys of each row as of its moment, as in training.

    Few rows are in memory at a time. What a killed command has finished is kept beside the output, and gone on with
    when the same command is given again. Exit code 2 when something is wrong; nothing is written then.
    """


def predict_command() -> click.Command:
    """Make the command `predict`."""
    file = click.Path(path_type=Path)
    return Command(
        "predict",
        callback=_predict,
        params=[
            click.Argument(["bundle"], type=file),
            click.Argument(["table"]),
            click.Option(["-o", "--output"], type=file, required=True, help="File to write: .parquet or .csv."),
            click.Option(["--as-of"], help="Look features up as of this moment, for example 2013-12-31T20:00Z."),
            click.Option(["--data-dir"], type=file, help="Data folder with the feature tables; else around BUNDLE."),
            click.Option(
                ["--threads"],
                type=click.IntRange(1, 1024),
                help="One fewer than the processors else.",
            ),
            click.Option(["--memory"], default="2GB", show_default=True, help="For joins."),
        ],
        help=_HELP,
    )


def _predict(
    bundle: Path, table: str, output: Path, as_of: str | None, data_dir: Path | None, threads: int | None, memory: str
) -> None:
    from proml_kedro.commands.entity import parse_moment
    from proml_kedro.hardware import limit_environment
    from proml_kedro.scoring.job import ScoringJob
    from proml_kedro.workflow.scoring import StoredResults

    hardware = _hardware(threads, memory)
    job = ScoringJob(
        bundle=bundle,
        input=table,
        output=output,
        base_path=Path.cwd(),
        stored=StoredResults(bundle, data_dir),
        hardware=hardware,
        as_of=parse_moment(as_of, "option --as-of") if as_of is not None else None,
    )
    job.check_output()
    limit_environment(hardware)
    from proml_kedro.scoring.score import score_table

    for line in score_table(job, lambda line: click.echo(line, err=True)).lines():
        click.echo(line)


def _hardware(threads: int | None, memory: str) -> HardwareSpec:
    """The machine that the options describe.

    Raises:
        UserError: Not so much memory can be meant.
    """
    from pydantic import ValidationError

    from proml_kedro.spec import HardwareSpec

    try:
        return HardwareSpec.model_validate({"memory": memory, **({"threads": threads} if threads else {})})
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise UserError(Mistake("", message, f"option --memory={memory}")) from error
