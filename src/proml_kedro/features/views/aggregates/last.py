"""The value known last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from proml_kedro.engine.duckdb import number, sql_type
from proml_kedro.features.views.aggregates.base import KNOWN, POSITION, Aggregate, Event, Slot
from proml_kedro.spec.dtype import Dtype


class Last(Aggregate):
    """The value known last. Of several known at one moment, the last one in the table.

    Attributes:
        dtype: The type of the value.
    """

    example: ClassVar[Mapping[str, Any]] = {"expression": "s", "dtype": "str"}
    fixed_dtype: ClassVar[Dtype | None] = None
    reads_known: ClassVar[bool] = True
    reads_position: ClassVar[bool] = True

    agg: Literal["last"]

    def event_type(self) -> str:
        """Values are of the feature's own type."""
        return sql_type(self.dtype)

    def event_value(self) -> str:
        """Return the value as its type."""
        return number(self.expression or "", self.dtype)

    def partials(self, slot: Slot) -> Mapping[str, str]:
        """Keep the last one of a tick."""
        return {"l": f"arg_max({slot.value}, ({KNOWN}, {POSITION}))"}

    def final(self, slot: Slot, frame: str) -> str:
        """Take that of the last tick that has one."""
        return f"last_value({slot.column('l')} IGNORE NULLS) OVER {frame}"

    def of_events(self, events: Sequence[Event], at: int) -> Any:
        """Take the last one."""
        return events[-1].value if events else None
