"""What a user asks for besides the files: override arguments, and the parameters of Kedro's entry points."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from proml_kedro.errors import Mistake, masked_setting, shortened

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override as HydraOverride

Mode = Literal["set", "add", "force", "delete"]

_MODES: dict[str, Mode] = {"+": "add", "++": "force", "~": "delete"}

_LONGEST = 80
"""Characters of an override that a message shows."""

_MOST, _MOST_VALUES = 100_000, 1000
"""Characters of an override, and values in it, that are read: Hydra's grammar takes seconds for more."""


@dataclass(frozen=True)
class Override:
    """A value, or a choice of a file, that a user asks for.

    Attributes:
        key: Dotted path in the composition, or a group of files.
        value: The new value, or the name of the file.
        where: How messages name it.
        mode: ``KEY=``, ``+KEY=``, ``++KEY=`` or ``~KEY``.
        package: The part behind ``@`` of a group: where its content goes.
    """

    key: str
    value: Any
    where: str
    mode: Mode = "set"
    package: str | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The parts of the key."""
        return tuple(self.key.split("."))

    @property
    def group(self) -> str:
        """Group and package, as a defaults list writes them."""
        return f"{self.key}@{self.package}" if self.package else self.key


def place_of(argument: str) -> str:
    """Return how messages name an override; a long one is shown by its two ends."""
    return f"override '{shortened(masked_setting(argument), _LONGEST)}'"


def parse(arguments: Iterable[str]) -> tuple[list[Override], list[Mistake]]:
    """Read arguments in Hydra's override grammar.

    Args:
        arguments: ``model=logistic``, ``seed=3``, ``+problem.tables.x={source: x.csv}``, ``~evaluation.baseline``.

    Returns:
        The overrides, and a mistake for each argument that is none.
    """
    overrides: list[Override] = []
    mistakes: list[Mistake] = []
    for argument in arguments:
        result = _parse_one(argument)
        (overrides if isinstance(result, Override) else mistakes).append(result)  # type: ignore[arg-type]
    return overrides, mistakes


def read_one(argument: str) -> HydraOverride | Mistake:
    """Read one argument in Hydra's grammar, that of sweeps included."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    where = place_of(argument)
    _, _, value = argument.partition("=")
    if len(argument) > _MOST or sum(map(argument.count, "[{,:")) > _MOST_VALUES:
        return Mistake("", f"holds more than {_MOST_VALUES:,} values; write them into a file of conf", where)
    if "=" not in argument and not argument.startswith("~"):
        return Mistake("", "cannot read it; write KEY=VALUE, or GROUP=NAME", where)
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        if call := _SWEEP.match(value):
            return Mistake("", f"cannot read it; write {FORMS[call[1]]}", where)
        return Mistake(
            "", f"cannot read it; put text with spaces, commas or brackets in quotes: {_quoted(argument)}", where
        )
    except (RecursionError, ValueError):  # of numbers with thousands of digits too
        return Mistake("", "cannot read it; values are nested too deeply, or a number is too long", where)


FORMS = {
    "range": "range(START, STOP) or range(START, STOP, STEP), which ends before STOP",
    "interval": "interval(LOW, HIGH), or int(interval(LOW, HIGH)) for whole numbers",
    "choice": "choice(FIRST, SECOND, …)",
    "tag": "tag(log, interval(LOW, HIGH))",
    "glob": "glob(*) or glob([first*, second*], exclude=third*)",
}
"""How the calls of Hydra's grammar that mean several values are written."""

_SWEEP = re.compile(rf"\s*({'|'.join(FORMS)})\s*\(")


def _parse_one(argument: str) -> Override | Mistake:
    from hydra.core.override_parser.types import OverrideType

    where = place_of(argument)
    key, _, value = argument.partition("=")
    parsed = read_one(argument)
    if isinstance(parsed, Mistake):
        return parsed
    if parsed.is_sweep_override():
        as_list = shlex.quote(f"{key}=[{value}]") if len(value) <= _LONGEST else "'KEY=[a,b]'"
        message = "a run takes one value, not several, which `kedro sweep` tries one after the other"
        return Mistake("", f"{message}; write a list as {as_list}, text as {_quoted(argument)}", where)
    modes: dict[OverrideType, Mode] = {
        OverrideType.CHANGE: "set",
        OverrideType.ADD: "add",
        OverrideType.FORCE_ADD: "force",
        OverrideType.DEL: "delete",
    }
    return Override(parsed.key_or_group, parsed.value(), where, modes[parsed.type], parsed.package)


def _quoted(argument: str) -> str:
    r"""Return an override whose value is text, as a shell has to be given it: with quotes for Hydra inside of others.

    >>> _quoted("problem.description=a, b")
    '\'problem.description="a, b"\''
    """
    key, _, value = argument.partition("=")
    if len(value) > _LONGEST or not re.fullmatch(r"[+~]*[\w.@/-]+", key):
        key, value = "KEY", "a, b"
    bare = value.strip().strip("'\"")
    escaped = re.sub(r"\\+(?=\"|$)", lambda found: found[0] * 2, bare).replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')


def from_params(params: Mapping[str, Any]) -> tuple[list[Override], list[Mistake]]:
    """Read nested parameters as Kedro passes them; a key may begin with ``+``, ``++`` or ``~`` here too.

    Returns:
        An override for each leaf, and a mistake for each value that YAML could not hold.
    """
    overrides: list[Override] = []
    mistakes: list[Mistake] = []
    for override in _leaves(params, ""):
        mark = override.key[: len(override.key) - len(override.key.lstrip("+~"))]
        mode = _MODES.get(mark, "set")
        try:
            value = _plain(override.value)
        except TypeError as error:
            mistakes.append(Mistake(override.key, str(error), override.where))
        else:
            key, _, package = override.key[len(mark) :].partition("@")
            overrides.append(replace(override, key=key, value=value, mode=mode, package=package or None))
    return overrides, mistakes


def _leaves(params: Mapping[str, Any], prefix: str) -> Iterator[Override]:
    for name, value in params.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            yield Override(key, value, place_of(f"{key}={text}"))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    raise TypeError(f"a {type(value).__name__} cannot stand in a configuration")
