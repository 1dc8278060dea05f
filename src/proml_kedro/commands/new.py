"""`proml_kedro new`: make a project folder that depends on this package, with an example in it that runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import distribution, version
from pathlib import Path

import click

from proml_kedro.commands.base import Command
from proml_kedro.errors import Mistake, UserError

_TEMPLATE = Path(__file__).parent / "template"
_EXAMPLE = ("generate_tables.py",)
"""Files of the template that only its example needs."""
_OF_EXAMPLE = re.compile(r"[ ]*@EXAMPLE@\n(.*?)[ ]*@END@\n", re.DOTALL)
"""Lines of other files that only the example needs."""

_WORDS_OF_YAML = ("true", "false", "yes", "no", "on", "off", "null", "nan", "inf")

_HELP = """Make a project folder of its own: YAML, feature repository, Makefile, CI workflow, tests.

    NAME is the folder's, and the problem's: small letters, digits and underscores. The example in it runs as it is.
    """


def new_command() -> click.Command:
    """Make the command `new`."""
    return Command("new", callback=_new, params=[click.Argument(["name"])], help=_HELP)


def _new(name: str) -> None:
    folder = make_project(Path.cwd(), name)
    click.echo(f"made {folder.name}; next: cd {folder.name} && python generate_tables.py && kedro data check")


def make_project(parent: Path, name: str, own: Mapping[str, str] | None = None) -> Path:
    """Make a project folder.

    Args:
        parent: The folder to make it in.
        name: Its name, and the problem's.
        own: Files that take the place of the example, with their text; the example when left out.

    Returns:
        The new folder.

    Raises:
        UserError: The name does not fit, or there is something of that name.
    """
    from proml_kedro.atomic import temporary_beside

    folder = parent / name
    check_name(name)
    if folder.exists() or folder.is_symlink():
        raise _error(f"there is something at {folder}; give another name, or remove it")
    temporary = temporary_beside(folder)
    try:
        _fill(temporary, name, own)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def check_name(name: str) -> None:
    """Check the name of a project, which is that of its problem too.

    Raises:
        UserError: It does not fit.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name, re.ASCII):
        raise _error(f"'{name}' is no name for a project; write small letters, digits and underscores, a letter first")
    if name in _WORDS_OF_YAML:
        raise _error(f"'{name}' is no name for a project: YAML or Hydra take it for a truth value, a number or nothing")


def _fill(folder: Path, name: str, own: Mapping[str, str] | None) -> None:
    from proml_kedro.authoring.schema import write_schemas
    from proml_kedro.config.folders import shipped

    words = {"@NAME@": name, "@REQUIREMENT@": requirement(), "@KEDRO@": version("kedro")}
    for source in sorted(_TEMPLATE.rglob("*.in")):
        # Names without a dot in front, and with a suffix, so that no tool takes the template for part of this package.
        place = source.relative_to(_TEMPLATE).with_suffix("").as_posix().replace("dot_", ".").replace("NAME", name)
        if own is not None and (place in own or place in _EXAMPLE):
            continue
        text = source.read_text(encoding="utf-8")
        text = _OF_EXAMPLE.sub(r"\1" if own is None else "", text)
        for word, value in words.items():
            text = text.replace(word, value)
        _write(folder / place, text)
    for place, text in (own or {}).items():
        _write(folder / place, text)
    shutil.copyfile(shipped() / "logging.yml", folder / "conf" / "logging.yml")
    write_schemas(folder / "schema")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


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
