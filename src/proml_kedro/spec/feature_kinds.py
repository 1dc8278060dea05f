"""What a feature may be: a value as it stands in a table, or an aggregate of events over windows."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from proml_kedro.spec.base import Duration, Spec, Sql, parse_duration
from proml_kedro.spec.dtype import Dtype

Aggregate = Literal["count", "sum", "mean", "min", "max", "std", "last", "count_distinct", "rate", "quantile", "decay"]
_ZERO_WHEN_EMPTY = ("count", "count_distinct", "sum", "decay")
_OPTIONS = {"q": "quantile", "half_life": "decay"}


def window_length(window: str) -> timedelta | None:
    """How far back a window reaches; None for ``all``, which reaches back to the beginning."""
    return None if window == "all" else cast("timedelta", parse_duration(window))


def _readable(window: str) -> str:
    window_length(window)
    return window


Window = Annotated[str, AfterValidator(_readable)]
"""A duration or ``all``. Kept as it is written, since features are named after it."""


class ColumnFeature(Spec):
    """A value as it stands in the table.

    Attributes:
        dtype: Its type.
        expression: SQL over the table's columns; the column of the feature's own name when left out. For on-demand
            features, an expression over other features, written ``view.feature``.
        neutral: For what is known only once examples have been put in order, such as a position in a list: the value
            that all of them are given when their order is judged.
    """

    dtype: Dtype
    expression: Sql | None = None
    neutral: bool | int | float | str | None = None
    description: str = ""
    tags: dict[str, str] = {}

    @model_validator(mode="after")
    def _neutral_value_fits(self) -> Self:
        wanted: Any = {"str": str, "bool": bool, "int": int, "float": int | float}.get(self.dtype, ())
        is_truth = isinstance(self.neutral, bool) and self.dtype != "bool"
        if self.neutral is not None and (is_truth or not isinstance(self.neutral, wanted)):
            raise ValueError(f"neutral: {self.neutral!r} is not of type {self.dtype}")
        return self


class WindowFeature(Spec):
    """An aggregate of events over windows: one feature ``NAME_WINDOW`` for each window.

    The value at time t aggregates the events with ``t - window <= known_at < t``, where known_at is the
    event's time plus the source's delay. Events whose value is null take no part. An empty window counts 0 and sums 0;
    any other aggregate of it is null.

    Attributes:
        agg: The aggregate. `std` is the sample standard deviation; `last` the value known last; `rate` the share of
            events for which the expression is true; `decay` a sum in which an event counts half after each half-life.
        expression: SQL over the table's columns for what is aggregated; not needed to count rows.
        filter: SQL; only events for which it holds take part.
        windows: How far back to look; those of the view's `defaults` when left out, or `all` for a decayed sum.
        q: For `quantile`, which one: 0.5 is the median. Between two values it is interpolated.
        half_life: For `decay`, after how long an event counts half.
        dtype: For `last`, the type of the value; every other aggregate has its own.
    """

    agg: Aggregate
    expression: Sql | None = None
    filter: Sql | None = None
    windows: Annotated[list[Window], Field(min_length=1)]
    q: Annotated[float, Field(ge=0, le=1)] | None = None
    half_life: Duration | None = None
    dtype: Dtype = "float"
    description: str = ""
    tags: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        implied: dict[str, Any] = {"windows": ["all"]} if value.get("agg") == "decay" else {}
        if value.get("agg") in ("count", "count_distinct"):
            implied["dtype"] = "int"
        return {**implied, **value}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.agg != "count" and self.expression is None:
            raise ValueError(f"agg '{self.agg}' needs an expression: what to take the {self.agg} of")
        for option, agg in _OPTIONS.items():
            given = getattr(self, option) is not None
            if given and self.agg != agg:
                raise ValueError(f"{option} belongs to agg '{agg}', not to '{self.agg}'")
            if self.agg == agg and not given:
                raise ValueError(f"agg '{agg}' needs {option}")
        own = "int" if self.agg in ("count", "count_distinct") else "float"
        if self.agg != "last" and self.dtype != own:
            raise ValueError(f"a {self.agg} is {own}, not {self.dtype}; only agg 'last' has a dtype to choose")
        return self

    @property
    def is_zero_when_empty(self) -> bool:
        """Whether the value is 0, rather than null, when no event takes part."""
        return self.agg in _ZERO_WHEN_EMPTY
