"""What a user asks for besides the files: override arguments, and the parameters of Kedro's entry points."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from proml_kedro.errors import Mistake

Mode = Literal["set", "add", "force", "delete"]

_MODES: dict[str, Mode] = {"+": "add", "++": "force", "~": "delete"}

_LONGEST = 80
"""Characters of an override that a message shows."""


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
    shown = argument if len(argument) <= _LONGEST else f"{argument[: _LONGEST - 25]}…{argument[-24:]}"
    return f"override '{shown}'"


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


def _parse_one(argument: str) -> Override | Mistake:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import OverrideType
    from hydra.errors import HydraException

    where = place_of(argument)
    if "=" not in argument and not argument.startswith("~"):
        return Mistake("", "cannot read it; write KEY=VALUE, or GROUP=NAME", where)
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException:
        return Mistake("", "cannot read it; put text with spaces, commas or brackets in quotes: KEY='a, b'", where)
    if parsed.is_sweep_override():
        return Mistake("", "a run takes one value, not several; write a list as KEY=[a,b], text as KEY='a,b'", where)
    modes: dict[OverrideType, Mode] = {
        OverrideType.CHANGE: "set",
        OverrideType.ADD: "add",
        OverrideType.FORCE_ADD: "force",
        OverrideType.DEL: "delete",
    }
    return Override(parsed.key_or_group, parsed.value(), where, modes[parsed.type], parsed.package)


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
