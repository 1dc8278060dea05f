"""A sum in which an event counts half after each half-life.

A decayed sum at tick g is the sum of v * 2^((known - g) / half_life). Written as 2^(-g / half_life) times a sum of
v * 2^(known / half_life), a window can add it up, but the factors are beyond any number after a thousand half-lives.
So time is cut into blocks, each with its own origin at its end. A frame as long as a block touches two blocks, one of
them even and the other odd: two sums are enough, and each factor lies between 2^-512 and 2^256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal

from proml_kedro.engine.duckdb import microseconds
from proml_kedro.features.views.aggregates.base import (
    KNOWN,
    TICK,
    Aggregate,
    Event,
    Slot,
    finite,
    floor_sql,
    infinities,
    total,
    unless_infinite,
)
from proml_kedro.spec.base import PositiveDuration, format_duration

MEMORY_HALF_LIVES = 256
"""After as many half-lives an event is forgotten: what is left of it is less than 1e-77 of its value."""

RENEWALS_PER_HALF_LIFE = 4
RENEWED_HALF_LIVES = 10
"""A decayed sum falls when nothing happens; it is written anew this often, and for this long after an event."""


class Decay(Aggregate):
    """A sum in which an event counts half after each half-life.

    Attributes:
        half_life: After how long an event counts half; not shorter than the view's snapshot.
    """

    example: ClassVar[Mapping[str, Any]] = {"expression": "x", "half_life": "6h"}
    own_windows: ClassVar[tuple[str, ...]] = ("all",)
    is_zero_when_empty: ClassVar[bool] = True
    reads_known: ClassVar[bool] = True

    agg: Literal["decay"]
    half_life: PositiveDuration

    def check_snapshot(self, name: str, snapshot: timedelta) -> None:
        """Check the half-life too."""
        if self.half_life < snapshot:
            raise ValueError(
                f"half_life {format_duration(self.half_life)} of '{name}' is shorter than snapshot "
                f"{format_duration(snapshot)}"
            )
        super().check_snapshot(name, snapshot)

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Keep a sum relative to the end of the tick's block, apart for even and odd blocks, and the infinities."""
        half_life, block = self._units()
        start = floor_sql(TICK, block)
        value = f"fsum({finite(slot.value)} * pow(2.0, ({KNOWN} - {start} - {block}) / {half_life}))"
        sums = {f"p{parity}_": f"{value} FILTER (({start} // {block}) & 1 = {parity})" for parity in (0, 1)}
        return {**sums, "i": infinities(slot.value)}

    def final(self, slot: Slot, frame: str) -> str:
        """Add the sums of even and odd blocks up, relative to the tick."""
        half_life, block = self._units()
        start = floor_sql(TICK, block)
        terms = (
            # The tick's own block ends after it, the one before at its start.
            f"coalesce(fsum({slot.column(f'p{parity}_')}) OVER {frame}, 0.0) * pow(2.0, ({start} - {TICK}"
            f" + CASE WHEN ({start} // {block}) & 1 = {parity} THEN {block} ELSE 0 END) / {half_life})"
            for parity in (0, 1)
        )
        return unless_infinite(f"bit_or({slot.column('i')}) OVER {frame}", " + ".join(terms))

    def reach(self, window: str) -> timedelta | None:
        """Return the window, but no more than events are remembered for."""
        length, memory = super().reach(window), MEMORY_HALF_LIVES * self.half_life
        return memory if length is None else min(length, memory)

    def renewal(self, snapshot: timedelta) -> tuple[timedelta, int] | None:
        """Return a step of a quarter of a half-life, for ten half-lives."""
        step = -(-self.half_life // (RENEWALS_PER_HALF_LIFE * snapshot)) * snapshot
        return step, -(-RENEWED_HALF_LIVES * self.half_life // step)

    def of_events(self, events: Sequence[Event], at: int) -> float:
        """Add up what is left of each event."""
        half_life, _ = self._units()
        return total(one.value * 2.0 ** ((one.known - at) / half_life) for one in events)

    def _units(self) -> tuple[int, int]:
        """The half-life and the length of a block, in microseconds."""
        half_life = microseconds(self.half_life)
        return half_life, MEMORY_HALF_LIVES * half_life
