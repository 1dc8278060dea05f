"""Variations in Hydra's sweep grammar: which values a key is to take, one after the other or out of an interval."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proml_kedro.config.folders import Folders
from proml_kedro.config.overrides import FORMS, parse, place_of, read_one
from proml_kedro.config.spec_paths import known_keys
from proml_kedro.errors import Mistake, unknown

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override as HydraOverride

_MOST = 10_000
"""Values of one key that are listed."""


@dataclass(frozen=True)
class Dimension:
    """A key, and the values that it takes.

    Attributes:
        written: The argument, as it was written.
        key: The key, or the group with its package, with ``+`` in front where it is new.
        values: The values as an override writes them, in order; empty for an interval.
        ordered: Whether their order means something, as that of a range does.
        low: Lower end of an interval, included.
        high: Upper end of an interval, included.
        logarithmic: Whether an interval is looked at on a logarithmic scale.
        whole: Whether an interval is of whole numbers.
        is_group: Whether the values are names of files of a group.
    """

    written: str
    key: str
    values: tuple[str, ...] = ()
    ordered: bool = False
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False
    whole: bool = False
    is_group: bool = False

    @property
    def where(self) -> str:
        """How messages name it."""
        return place_of(self.written)

    @property
    def path(self) -> tuple[str, ...]:
        """The parts of the key."""
        return tuple(self.key.lstrip("+").split("."))

    def override(self, value: float) -> str:
        """Return the override that sets a value: a number of an interval, or the position of a listed value."""
        if self.values:
            return f"{self.key}={self.values[int(value)]}"
        return f"{self.key}={int(value) if self.whole else float(value)!r}"


def read_sweeps(arguments: Iterable[str], folders: Folders) -> tuple[list[str], list[Dimension], list[Mistake]]:
    """Tell overrides that vary from those that do not.

    Args:
        arguments: As typed; of two of the same key the last one counts.
        folders: Where files of groups are.

    Returns:
        The overrides that set one value, the dimensions, and a mistake for each argument that is neither.
    """
    fixed: dict[str, str] = {}
    varied: dict[str, Dimension] = {}
    mistakes: list[Mistake] = []
    for argument in arguments:
        found = read_one(argument)
        if isinstance(found, Mistake):
            mistakes.append(found)
            continue
        key = found.get_key_element()
        if not found.is_sweep_override():
            _, wrong = parse([argument])
            mistakes += wrong
            fixed[key] = argument
            varied.pop(key, None)
            continue
        one = _dimension(argument, found, folders)
        if isinstance(one, Mistake):
            mistakes.append(one)
        else:
            varied[key] = one
            fixed.pop(key, None)
    return list(fixed.values()), list(varied.values()), mistakes


def _dimension(argument: str, found: HydraOverride, folders: Folders) -> Dimension | Mistake:
    from hydra.core.override_parser.types import Glob, IntervalSweep, Sweep

    where, key, value = place_of(argument), found.get_key_element(), found.value()
    if key.startswith("~"):
        return Mistake("", "what is left out has no values; write the variants as files of a group", where)
    if getattr(value, "shuffle", False):
        return Mistake("", "leave out shuffle; search.sampler=random takes values at random", where)
    if unfit := sorted({*value.tags} - {"log"} if isinstance(value, Sweep) else ()):
        return Mistake("", f"no tag '{unfit[0]}' is known; write tag(log, interval(LOW, HIGH))", where)
    if isinstance(value, IntervalSweep):
        return _interval(argument, key, value)
    if isinstance(value, Sweep) and value.tags:
        return Mistake("", "only an interval has a logarithmic scale; write tag(log, interval(LOW, HIGH))", where)
    is_group = found.key_or_group in folders.groups or found.package is not None
    options = folders.options(found.key_or_group) if is_group else []
    if isinstance(value, Glob) or found.value_type is _glob_type():
        glob = found._value
        values: list[str] = glob.filter(options) if isinstance(glob, Glob) else []
        if not values:
            return Mistake("", f"fits none of {', '.join(options) or 'the files of a group'}", where)
        return Dimension(argument, key, tuple(values), is_group=True)
    listed = _listed(found, where)
    if isinstance(listed, Mistake):
        return listed
    if is_group and (wrong := [one for one in listed if one not in options]):
        return Mistake("", unknown(found.key_or_group, wrong[0], options), where)
    return Dimension(argument, key, listed, ordered=_is_range(found), is_group=is_group)


def _glob_type() -> Any:
    from hydra.core.override_parser.types import ValueType

    return ValueType.GLOB_CHOICE_SWEEP


def _is_range(found: HydraOverride) -> bool:
    from hydra.core.override_parser.types import RangeSweep

    return isinstance(found.value(), RangeSweep)


def _listed(found: HydraOverride, where: str) -> tuple[str, ...] | Mistake:
    """List the values of a choice or a range, as Hydra does."""
    if _is_range(found):
        value: Any = found.value()
        count = (value.stop - value.start) / value.step if value.step else 0
        if count <= 0:
            return Mistake("", f"no number is in this range; write {FORMS['range']}", where)
        if count > _MOST:
            return Mistake("", f"holds more than {_MOST:,} values; write interval(LOW, HIGH), or a larger step", where)
    return tuple(found.sweep_string_iterator())


def _interval(argument: str, key: str, value: Any) -> Dimension | Mistake:
    where, whole = place_of(argument), isinstance(value.start, int) and isinstance(value.end, int)
    if not value.start < value.end:
        return Mistake("", "the interval holds no second number; write interval(LOW, HIGH)", where)
    if "log" in value.tags and value.start <= 0:
        return Mistake("", "a logarithmic scale begins above 0; write tag(log, interval(0.001, 1))", where)
    return Dimension(
        argument,
        key,
        low=value.start,
        high=value.end,
        logarithmic="log" in value.tags,
        whole=whole,
    )


def is_there(path: tuple[str, ...], values: Mapping[str, Any]) -> bool:
    """Tell whether a key may be set in a configuration.

    Args:
        path: Parts of the key.
        values: The configuration as plain values.
    """
    node: Any = values
    for position, part in enumerate(path):
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list) and re.fullmatch(r"\d+", part) and int(part) < len(node):
            node = node[int(part)]
        else:
            return part in known_keys(path[:position], values)
    return True


def roots(dimensions: Iterable[Dimension]) -> Iterator[tuple[Dimension, str]]:
    """Yield each dimension with the first part of the key that it changes: of a group, where its content goes."""
    for one in dimensions:
        group, _, package = one.key.lstrip("+").partition("@")
        yield one, (package or group).partition(".")[0]
