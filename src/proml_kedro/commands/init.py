"""`proml_kedro init`: look at files, propose a problem as commented YAML, check it, and say what is next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proml_kedro.commands.base import Command
from proml_kedro.commands.data_check import as_text
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.authoring.initiate import Proposed

_HELP = """Look at files, propose a problem as commented YAML, and check it.

    FILES are CSV in any dialect, Parquet, JSON lines or SQLite; LABEL is the column to predict, COLUMN or TABLE.COLUMN,
    with =VALUE behind it for what counts as true. Proposes types, formats of dates, keys, the moment, a split and
    features, each with the reason; what the files leave open is written with both readings. Inside of a project the
    YAML is added to its conf, elsewhere a project folder is made. Nothing that is there is written over.
    """


def init_command() -> click.Command:
    """Make the command `init`."""
    return Command(
        "init",
        callback=_init,
        params=[
            click.Argument(["files"], nargs=-1, required=True, type=click.Path(path_type=Path)),
            click.Option(["--label"], help="The column to predict."),
            click.Option(
                ["--name"], help="Name of the problem, and of its folder; that of the label's table when left out."
            ),
        ],
        help=_HELP,
    )


def _init(files: tuple[Path, ...], label: str | None, name: str | None) -> None:
    from proml_kedro.authoring.initiate import propose_problem
    from proml_kedro.authoring.names import on_one_line

    home = _project()
    label = label or _ask_label(files)
    proposed = propose_problem(files, label, home or Path.cwd() / "project")
    name = name or (f"p{proposed.table}" if proposed.table.startswith("_") else proposed.table)
    conf = _add(home, name, proposed) if home else _make(name, proposed)
    place = Path.cwd() if home is None else home
    for line in proposed.said:
        click.echo(on_one_line(line))
    click.echo("")
    for kind in ("problem", "features"):
        click.echo(f"wrote {(conf / kind / f'{name}.yaml').relative_to(place)}")
    _check(conf, name, is_new=home is None)


def _project() -> Path | None:
    """The folder of the project around the working directory; None where there is none."""
    from proml_kedro.config.folders import MAIN

    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / "conf" / MAIN).is_file()), None)


def _ask_label(files: tuple[Path, ...]) -> str:
    from proml_kedro.authoring.initiate import columns_of

    columns = columns_of(files)
    if not sys.stdin.isatty():
        shown = ", ".join(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
        raise UserError(Mistake("", f"which column is to be predicted? write --label COLUMN; there are {shown}"))
    return str(click.prompt(f"Which column is to be predicted? {', '.join(columns)}\n"))


def _make(name: str, proposed: Proposed) -> Path:
    from proml_kedro.commands.new import make_project

    own = {f"conf/problem/{name}.yaml": proposed.problem, f"conf/features/{name}.yaml": proposed.features}
    return make_project(Path.cwd(), name, own) / "conf"


def _add(home: Path, name: str, proposed: Proposed) -> Path:
    """Write both files into a project, or none."""
    from proml_kedro.atomic import write_whole
    from proml_kedro.authoring.schema import write_schemas
    from proml_kedro.commands.new import check_name

    check_name(name)
    conf = home / "conf"
    files = {conf / "problem" / f"{name}.yaml": proposed.problem, conf / "features" / f"{name}.yaml": proposed.features}
    there = [str(one.relative_to(home)) for one in files if one.exists() or one.is_symlink()]
    if there:
        raise UserError(Mistake("", f"there is something at {' and '.join(there)}; give another name: --name {name}_2"))
    if not (home / "schema" / "problem.json").exists():
        write_schemas(home / "schema")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text)
    return conf


def _check(conf: Path, name: str, is_new: bool) -> None:
    """Read all tables as the YAML says, and print what is next."""
    from proml_kedro.project import Project
    from proml_kedro.results import TablesFacts

    choice = [] if is_new else [f"problem={name}"]
    enter = f"cd {shlex.quote(name)} && " if is_new else ""
    project = Project(str(conf), choice, root=conf.parent)
    try:
        tables = project.run(results=("tables",))["tables"]
    except UserError as error:
        click.echo(
            f"next: decide what follows in the YAML, then {enter}{shlex.join(['kedro', 'data', 'check', *choice])}"
        )
        raise error
    for line in as_text(TablesFacts.read(tables.path)):
        click.echo(line)
    click.echo(f"next: {enter}{shlex.join(['kedro', 'run', *choice])}")
