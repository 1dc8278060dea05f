"""What varies in a search: dimensions, some of which are there under some choices only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

from proml_kedro.config.sweeps import Dimension, is_there, read_sweeps, roots
from proml_kedro.errors import Mistake, UserError
from proml_kedro.project import Project

Point = Mapping[str, float]
"""By key of a dimension the number out of its interval, or the position of one of its values."""

_VARIED = ("model", "features", "seed")
"""What may vary: everything else decides by what a model is judged, or says nothing about it."""

_MOST_CHOICES = 100
"""Combinations of files whose configuration is looked at before anything runs."""

_ODD = 0.381966
"""Share of an interval where no number is round: it shows whether fractions are taken."""


@dataclass(frozen=True)
class Space:
    """The variations of a search.

    Attributes:
        dimensions: What varies, files of groups first.
        active: By the values of the groups, the keys of the other dimensions that exist there. Combinations of files
            that do not fit together are missing.
    """

    dimensions: tuple[Dimension, ...]
    active: Mapping[tuple[str, ...], frozenset[str]]

    @cached_property
    def groups(self) -> tuple[Dimension, ...]:
        """The dimensions whose values are files."""
        return tuple(one for one in self.dimensions if one.is_group)

    @cached_property
    def size(self) -> int | None:
        """How many combinations there are; None when there is an interval."""
        if any(not one.values for one in self.dimensions):
            return None
        others = {one.key: len(one.values) for one in self.dimensions if not one.is_group}
        return sum(prod(size for key, size in others.items() if key in keys) for keys in self.active.values())

    def active_at(self, point: Point) -> frozenset[str] | None:
        """Return the keys that exist beside the files of a point; None when these do not fit together."""
        return self.active.get(tuple(one.values[int(point[one.key])] for one in self.groups))

    def overrides(self, point: Point) -> tuple[str, ...]:
        """Write a point as overrides, files first."""
        return tuple(one.override(point[one.key]) for one in self.dimensions if one.key in point)

    def grid(self) -> Iterator[Point]:
        """Yield every combination once, the last dimension's values changing fastest, as Hydra's own sweeper does."""
        written = sorted(self.dimensions, key=lambda one: self._order[one.key])
        seen = set()
        for positions in product(*(range(len(one.values)) for one in written)):
            whole = dict(zip((one.key for one in written), positions, strict=True))
            keys = self.active_at(whole)
            if keys is None:
                continue
            point = {one.key: float(whole[one.key]) for one in self.dimensions if one.is_group or one.key in keys}
            if (found := tuple(point.items())) not in seen:
                seen.add(found)
                yield point

    @cached_property
    def _order(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.written)}

    written: tuple[str, ...] = ()
    """The keys in the order in which they were written."""


def read_space(project: Project) -> tuple[Project, Space, list[str]]:
    """Read what a project's overrides and its ``search.space`` vary.

    Args:
        project: Its overrides may vary keys in the grammar of Hydra's sweeps.

    Returns:
        The project with the overrides that do not vary, the space, and what is to be known about it.

    Raises:
        UserError: With everything that is wrong, before anything runs.
    """
    fixed, varied, mistakes = read_sweeps(project.overrides, project.folders)
    if mistakes:
        raise UserError(*mistakes)
    base = project.with_only(*fixed)
    _, declared, mistakes = _declared(base, fixed)
    there = {one.key for one in varied}
    dimensions = [*(one for one in declared if one.key not in there), *varied]
    mistakes += [_not_varied(one, root) for one, root in roots(dimensions) if root not in _VARIED]
    if mistakes:
        raise UserError(*mistakes)
    if not dimensions:
        example = "kedro sweep 'model.components.NAME.params.max_depth=range(3,9)'"
        raise UserError(Mistake("search.space", f"nothing varies; write what does, as in {example}"))
    return base, *_look(base, dimensions)


def _declared(base: Project, fixed: Sequence[str]) -> tuple[list[str], list[Dimension], list[Mistake]]:
    """Read the dimensions of the configuration; one whose key an override sets does not vary."""
    single, found, mistakes = read_sweeps(base.spec.search.space, base.folders)
    set_here = {one.partition("=")[0] for one in fixed}
    mistakes += [
        Mistake("search.space", f"'{one}' takes one value; write it where the others stand, or several values")
        for one in single
    ]
    where = base.loader.where("search.space")
    mistakes = [Mistake("search.space", one.message, where) if one.where else one for one in mistakes]
    return single, [one for one in found if one.key not in set_here], mistakes


def _not_varied(dimension: Dimension, root: str) -> Mistake:
    return Mistake(
        "",
        f"'{root}' cannot vary in a search: figures could not be compared; vary model, features or seed",
        dimension.where,
    )


def _look(base: Project, dimensions: Sequence[Dimension]) -> tuple[Space, list[str]]:
    """Look at the configuration under every combination of files: which keys exist there, and whether ends fit."""
    groups = [one for one in dimensions if one.is_group]
    others = [one for one in dimensions if not one.is_group]
    if prod(len(one.values) for one in groups) > _MOST_CHOICES:
        raise UserError(Mistake("", f"more than {_MOST_CHOICES} combinations of files; write fewer", groups[0].where))
    active: dict[tuple[str, ...], frozenset[str]] = {}
    errors: list[UserError] = []
    notices: list[str] = []
    for names in product(*(one.values for one in groups)):
        choices = [f"{one.key}={name}" for one, name in zip(groups, names, strict=True)]
        try:
            chosen = base.with_overrides(*choices)
            values = chosen.loader.config
            found = [one for one in others if one.key.startswith("+") or is_there(one.path, values)]
        except UserError as error:
            errors.append(error)
            notices.append(f"{' '.join(choices)} is left out: {str(error).splitlines()[0]}")
            continue
        _check_ends(chosen, found)
        active[names] = frozenset(one.key for one in found)
        notices += [
            f"{' '.join(choices)} has no {one.key}: it does not vary there" for one in others if one not in found
        ]
    if not active:
        raise errors[0]
    known = frozenset[str]().union(*active.values())
    if nowhere := [one for one in others if one.key not in known]:
        chosen = base.with_overrides(
            *(f"{one.key}={name}" for one, name in zip(groups, next(iter(active)), strict=True))
        )
        chosen.with_overrides(*(one.override(one.low if not one.values else 0) for one in nowhere)).spec  # noqa: B018
        raise UserError(*(Mistake("", "there is no such key", one.where) for one in nowhere))
    written = tuple(one.key for one in dimensions)
    return Space((*groups, *others), active, written), notices


def _check_ends(project: Project, dimensions: Sequence[Dimension]) -> None:
    """See that the first, the last and an odd value between can stand in the configuration, of each dimension.

    Raises:
        UserError: One cannot.
    """
    for share in (0.0, 1.0):
        _compose(project, [one.override(_value_at(one, share)) for one in dimensions])
    between = [one for one in dimensions if not one.values and not one.whole]
    mistakes = [_whole_number(one) for one in between if _takes_whole_numbers(project, one)]
    if mistakes:
        raise UserError(*mistakes)
    _compose(project, [one.override(_value_at(one, _ODD)) for one in dimensions])


def _compose(project: Project, chosen: Sequence[str]) -> None:
    if chosen:
        project.with_overrides(*chosen).spec  # noqa: B018 - composing is what finds mistakes


def _value_at(dimension: Dimension, share: float) -> float:
    if dimension.values:
        return int(share * (len(dimension.values) - 1))
    return dimension.low + share * (dimension.high - dimension.low)


def _takes_whole_numbers(project: Project, dimension: Dimension) -> bool:
    """Tell whether a key takes the whole number beside a value that it refuses."""
    value = _value_at(dimension, _ODD)
    try:
        _compose(project, [dimension.override(value)])
    except UserError:
        try:
            _compose(project, [f"{dimension.key}={int(value)}"])
        except UserError:
            return False
        return True
    return False


def _whole_number(dimension: Dimension) -> Mistake:
    written = f"int(interval({dimension.low:g},{dimension.high:g}))"
    written = f"tag(log,{written})" if dimension.logarithmic else written
    return Mistake("", f"takes whole numbers, not {_value_at(dimension, _ODD):g}; write {written}", dimension.where)
