"""The command line as it was typed, to propose others like it; passwords in it are left for the user to fill in."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from proml_kedro.errors import masked, masked_setting

_PLACES = ("--env", "-e", "--conf-source")
"""Options that say where the configuration lies."""

_SELECTIONS = (
    *("--pipelines", "--pipeline", "-p", "--nodes", "-n", "--from-nodes", "--to-nodes", "--from-inputs"),
    *("--to-outputs", "--tags", "-t", "--namespaces", "-ns"),
)
"""Options that say what of the pipelines is run."""

_FLAGS = ("--async", "--only-missing-outputs")
"""Options without a value behind them."""


def run_again(*more: str) -> str:
    """Return the command of this run without its choice of pipelines, and with more arguments.

    An override among them takes the place of one of the same key.
    """
    return _command("run", *_each_key_once([*_without_selection(), *more]))


def typed(otherwise: str = "") -> str:
    """Return the command of this process, without the values of settings that are secrets by their names.

    Args:
        otherwise: What to return when this process is none of our commands.
    """
    name, *arguments = sys.argv or [""]
    program = "proml_kedro" if Path(name).name == "__main__.py" else Path(name).name
    ours = program in ("kedro", "proml_kedro")
    return shlex.join([program, *map(masked_setting, arguments)]) if ours or not otherwise else otherwise


def is_run() -> bool:
    """Tell whether the command is `run`."""
    return sys.argv[1:2] == ["run"]


def is_set(key: str) -> bool:
    """Tell whether an override of this key was typed."""
    return any(_key(one) == key for one in _arguments() if _is_override(one))


def repeats() -> bool:
    """Tell whether the run repeats one from a file, whose configuration is taken whole and takes no overrides."""
    return any(one.startswith("resolved=") or one.partition("=")[0] in ("--config", "-c") for one in _arguments())


def workspace() -> str:
    """Return the command that shows this project, with what was typed to find its configuration or to change it."""
    kept = []
    typed = iter(_arguments())
    for one in typed:
        if one in _PLACES:
            kept += [one, next(typed, "")]
        elif one.startswith(tuple(f"{place}=" for place in _PLACES)) or _is_override(one):
            kept.append(one)
    return _command("workspace", *_each_key_once(kept))


def program(name: str) -> str:
    """Return how a program of this environment is called: by its name alone where the shell would find the same one."""
    own = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if not own.exists() or (found and own.samefile(found)):
        return name
    here = Path.cwd()
    return str(own.relative_to(here) if own.is_relative_to(here) else own)


def serve(bundle: Path) -> str:
    """Return the command that serves a bundle."""
    here, place = Path.cwd(), bundle.absolute()
    return _command("serve", str(place.relative_to(here) if place.is_relative_to(here) else place))


def _command(*arguments: str) -> str:
    typed = Path(sys.argv[0]) if sys.argv else Path()
    name = "proml_kedro" if "proml_kedro" in (typed.name, typed.parent.name) else "kedro"
    return shlex.join([program(name), *map(masked, arguments)])


def _each_key_once(arguments: Iterable[str]) -> list[str]:
    """Leave out the overrides that a later one of the same key and sort replaces."""
    kept: dict[str, str] = {}
    before = ""
    for one in arguments:
        is_value = before.startswith("-") and "=" not in before and before not in _FLAGS
        key = one.partition("=")[0] if _is_override(one) and not is_value else f"{len(kept)} {one}"
        kept.pop(key, None)
        kept[key] = before = one
    return list(kept.values())


def _is_override(argument: str) -> bool:
    return ("=" in argument and not argument.startswith("-")) or argument.startswith("~")


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


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
