"""The command line as it was typed, to propose others like it; passwords in it are left for the user to fill in."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator

from proml_kedro.errors import masked

_PLACES = ("--env", "-e", "--conf-source")
"""Options that say where the configuration lies."""

_SELECTIONS = (
    *("--pipelines", "--pipeline", "-p", "--nodes", "-n", "--from-nodes", "--to-nodes", "--from-inputs"),
    *("--to-outputs", "--tags", "-t", "--namespaces", "-ns"),
)
"""Options that say what of the pipelines is run."""


def run_again(*more: str) -> str:
    """Return the command of this run without its choice of pipelines, and with more arguments."""
    return _command("run", *_without_selection(), *more)


def workspace() -> str:
    """Return the command that shows this project, with what was typed to find its configuration or to change it."""
    kept = []
    typed = iter(_arguments())
    for one in typed:
        if one in _PLACES:
            kept += [one, next(typed, "")]
        elif one.startswith(tuple(f"{place}=" for place in _PLACES)) or ("=" in one and not one.startswith("-")):
            kept.append(one)
    return _command("workspace", *kept)


def program(name: str) -> str:
    """Return how a program of the environment is called from the project's folder."""
    return name if os.environ.get("VIRTUAL_ENV") else f".venv/bin/{name}"


def _command(*arguments: str) -> str:
    return shlex.join([program("kedro"), *map(masked, arguments)])


def _without_selection() -> Iterator[str]:
    typed = iter(_arguments())
    for one in typed:
        if one in _SELECTIONS:
            next(typed, "")
        elif not one.startswith(tuple(f"{name}=" for name in _SELECTIONS)):
            yield one


def _arguments() -> list[str]:
    """Return the arguments behind `run`."""
    return sys.argv[sys.argv.index("run") + 1 :] if "run" in sys.argv else []
