"""The aggregates that engines compute alike, and what each gives to a portable query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from proml_kedro.engine.portable.values import NotPortableError, convert
from proml_kedro.features.views.aggregates.base import ALL_TIME, Aggregate, Slot
from proml_kedro.features.views.aggregates.count_distinct import CountDistinct
from proml_kedro.features.views.aggregates.last import Last
from proml_kedro.features.views.aggregates.simple import Count, Max, Mean, Min, Rate, Sum
from proml_kedro.features.views.portable.events import Events, known_value, without_nan
from proml_kedro.features.views.portable.exact_sums import LARGEST, Limbs
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec

RANK = "__rank"
"""Column of an event's place among those of its key, by the moment it is known and its position."""


@dataclass(frozen=True)
class Carried:
    """An aggregate in a portable query.

    Attributes:
        feature: It.
        slot: Its place.
        limbs: How its numbers are cut; set for sums and means once their sizes are known.
    """

    feature: Aggregate
    slot: Slot
    limbs: Limbs | None = field(default=None)

    adds_up = False
    """Whether numbers are added up, whose sizes have to be known."""
    reads_rank = False
    """Whether :data:`RANK` is read."""

    @abstractmethod
    def value(self, events: Events) -> str:
        """Return what an event gives, whether the filter holds or not.

        Raises:
            NotPortableError: Engines compute it differently.
        """

    def filtered(self, events: Events) -> str:
        """Return what an event gives; null where it takes no part.

        Raises:
            NotPortableError: Engines compute it differently.
        """
        value = self.value(events)
        if not self.feature.filter:
            return value
        return f"CASE WHEN {convert(events.expression(self.feature.filter), 'truth').sql} THEN {value} END"

    def partials(self) -> Iterator[tuple[str, str]]:
        """Yield what is kept of a tick: its name, and an aggregate over :attr:`Slot.value`."""
        yield from ()

    @abstractmethod
    def final(self, frame: str) -> str:
        """Return the value at a tick.

        Args:
            frame: Name of the window's frame.
        """

    def _sum(self, part: str, frame: str) -> str:
        return f"CAST(sum({self.slot.column(part)}) OVER {frame} AS BIGINT)"


class _Count(Carried):
    def value(self, events: Events) -> str:
        if not self.feature.expression:
            return "CAST(1 AS BIGINT)"
        return without_nan(events.expression(self.feature.expression))

    def partials(self) -> Iterator[tuple[str, str]]:
        yield "n", f"count({self.slot.value})"

    def final(self, frame: str) -> str:
        return f"coalesce({self._sum('n', frame)}, CAST(0 AS BIGINT))"


class _Distinct(Carried):
    def value(self, events: Events) -> str:
        return without_nan(events.expression(self.feature.expression or ""))

    def final(self, frame: str) -> str:
        changes = f"sum({self.slot.column('d')}_{frame}) OVER {ALL_TIME}"
        return f"coalesce(CAST({changes} AS BIGINT), CAST(0 AS BIGINT))"


class _Rate(Carried):
    def value(self, events: Events) -> str:
        return convert(events.expression(self.feature.expression or ""), "truth").sql

    def partials(self) -> Iterator[tuple[str, str]]:
        yield "n", f"count({self.slot.value})"
        yield "s", f"count(CASE WHEN {self.slot.value} THEN 1 END)"

    def final(self, frame: str) -> str:
        true, all_ = (f"CAST({self._sum(part, frame)} AS DOUBLE)" for part in ("s", "n"))
        return f"CASE WHEN {all_} > 0e0 THEN {true} / {all_} END"


class _Number(Carried):
    def value(self, events: Events) -> str:
        return known_value(events.expression(self.feature.expression or "1"), "float")


class _Extreme(_Number):
    def partials(self) -> Iterator[tuple[str, str]]:
        yield "m", self._of(self.slot.value, "")

    def final(self, frame: str) -> str:
        return self._of(self.slot.column("m"), f" OVER {frame}")

    def _of(self, value: str, over: str) -> str:
        """The extreme of the values that are not its opposite: of infinity alone, Sail's ``min`` is 1.8e308."""
        sign, opposite = ("<=", f"{LARGEST}") if self.feature.agg == "min" else (">=", f"-{LARGEST}")
        usual = f"CASE WHEN {value} {sign} {opposite} THEN {value} END"
        infinite = f"CAST('{'' if self.feature.agg == 'min' else '-'}inf' AS DOUBLE)"
        return (
            f"CASE WHEN count({usual}){over} > 0 THEN {self.feature.agg}({usual}){over} "
            f"WHEN count({value}){over} > 0 THEN {infinite} END"
        )


class _Sum(_Number):
    adds_up = True

    @property
    def _cut(self) -> Limbs:
        assert self.limbs is not None  # noqa: S101 - for the type checker: sizes are asked for first
        return self.limbs

    def partials(self) -> Iterator[tuple[str, str]]:
        yield from self._cut.partials(self.slot.value, self.slot.column("x"))

    def final(self, frame: str) -> str:
        return self._unless_infinite(f"coalesce({self._total(frame)}, 0e0)", "CAST('nan' AS DOUBLE)", frame)

    def _total(self, frame: str) -> str:
        return self._cut.total([self._sum(f"s{limb}_", frame) for limb in range(self._cut.count)])

    def _unless_infinite(self, total: str, both: str, frame: str) -> str:
        if not self._cut.has_infinite:
            return total
        plus, minus = (f"{self._sum(part, frame)} > 0" for part in ("pos", "neg"))
        infinite = "CAST('{}inf' AS DOUBLE)"
        return (
            f"CASE WHEN {plus} AND {minus} THEN {both} WHEN {plus} THEN {infinite.format('')} "
            f"WHEN {minus} THEN {infinite.format('-')} ELSE {total} END"
        )


class _Mean(_Sum):
    def partials(self) -> Iterator[tuple[str, str]]:
        yield "n", f"count({self.slot.value})"
        yield from super().partials()

    def final(self, frame: str) -> str:
        count = f"CAST({self._sum('n', frame)} AS DOUBLE)"
        mean = f"CASE WHEN {count} > 0e0 THEN {self._total(frame)} / {count} END"
        return self._unless_infinite(mean, "NULL", frame)


class _Last(Carried):
    reads_rank = True

    def value(self, events: Events) -> str:
        return known_value(events.expression(self.feature.expression or ""), self.feature.dtype)

    def partials(self) -> Iterator[tuple[str, str]]:
        yield "l", f"max(CASE WHEN {self.slot.value} IS NOT NULL THEN {RANK} END)"

    def final(self, frame: str) -> str:
        """Return the rank of the last event; its value is looked up by that."""
        return f"max({self.slot.column('l')}) OVER {frame}"


_CARRIED: Mapping[type[Aggregate], type[Carried]] = {
    Count: _Count,
    CountDistinct: _Distinct,
    Last: _Last,
    Max: _Extreme,
    Mean: _Mean,
    Min: _Extreme,
    Rate: _Rate,
    Sum: _Sum,
}

_WHY = {
    "quantile": "Spark has no quantile over a frame",
    "std": "Sail takes squares off a moving frame, and loses all digits where large ones leave it",
    "decay": "sums over blocks of half-lives are beyond limbs of whole numbers",
}

_OWN = "its SQL is DuckDB's own"


def refusal(feature: Aggregate) -> str | None:
    """Return why an aggregate is not carried, as the end of a sentence; None when it is."""
    if type(feature) in _CARRIED:
        return None
    is_ours = type(feature).__module__.startswith("proml_kedro.")
    why = _WHY.get(feature.agg, _OWN) if is_ours else _OWN
    return f"agg: {feature.agg} is not computed by an engine: {why}; choose hardware=cpu, or another aggregate"


def refusals(features: FeaturesSpec) -> Iterator[tuple[str, str]]:
    """Yield each aggregate of stored views that is not carried: its key in the configuration, and why."""
    for name, view in features.views.items():
        for field_, feature in view.features.items():
            why = refusal(feature) if isinstance(feature, Aggregate) else None
            if why:
                yield f"features.{name}.features.{field_}.agg", why


def carried(view: FeatureViewSpec, by: str) -> dict[str, Carried]:
    """Return the aggregates of a windowed view by name, each with its place.

    Raises:
        NotPortableError: One is not carried.
    """
    found = {}
    for place, (name, feature) in enumerate(view.features.items()):
        if not isinstance(feature, Aggregate) or type(feature) not in _CARRIED:
            raise NotPortableError(f"'{name}' is not carried")
        found[name] = _CARRIED[type(feature)](feature, Slot(place, by))
    return found
