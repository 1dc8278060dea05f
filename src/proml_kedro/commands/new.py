"""`proml_kedro new`: make a project folder that depends on this package, with an example in it that runs."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import distribution, version
from pathlib import Path

import click

from proml_kedro.commands.base import Command
from proml_kedro.errors import Mistake, UserError

_TEMPLATE = Path(__file__).parent / "template"

_HELP = """Make a project folder of its own: YAML, feature repository, Makefile, CI workflow, tests.

    NAME is the folder's, and the problem's: small letters, digits and underscores. The example in it runs as it is.
    """


def new_command() -> click.Command:
    """Make the command `new`."""
    return Command("new", callback=_new, params=[click.Argument(["name"])], help=_HELP)


def _new(name: str) -> None:
    folder = make_project(Path.cwd(), name)
    click.echo(f"made {folder.name}; next: cd {folder.name} && python generate_tables.py && kedro data check")


def make_project(parent: Path, name: str) -> Path:
    """Make a project folder.

    Args:
        parent: The folder to make it in.
        name: Its name, and the problem's.

    Returns:
        The new folder.

    Raises:
        UserError: The name does not fit, or there is something of that name.
    """
    from proml_kedro.atomic import temporary_beside

    folder = parent / name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name, re.ASCII):
        raise _error(f"'{name}' is no name for a project; write small letters, digits and underscores, a letter first")
    if folder.exists() or folder.is_symlink():
        raise _error(f"there is something at {folder}; give another name, or remove it")
    temporary = temporary_beside(folder)
    try:
        _fill(temporary, name)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _fill(folder: Path, name: str) -> None:
    from proml_kedro.config.folders import shipped

    words = {"@NAME@": name, "@REQUIREMENT@": requirement(), "@KEDRO@": version("kedro")}
    for source in sorted(_TEMPLATE.rglob("*.in")):
        # Names without a dot in front, and with a suffix, so that no tool takes the template for part of this package.
        place = source.relative_to(_TEMPLATE).with_suffix("").as_posix()
        target = folder / place.replace("dot_", ".").replace("NAME", name)
        text = source.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    shutil.copyfile(shipped() / "logging.yml", folder / "conf" / "logging.yml")


def requirement() -> str:
    """Return the line of ``requirements.txt`` for this package, from where it was installed itself.

    A package of an index is named by its version; a folder, a file and a repository by its URL, so that nobody installs
    what somebody else may have put on an index under the same name.
    """
    found = distribution("proml_kedro")
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    url = str(origin.get("url", ""))
    if not url:
        return f"proml_kedro=={found.version}"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return f"proml_kedro @ {url}"


def _error(message: str) -> UserError:
    return UserError(Mistake("", message))
