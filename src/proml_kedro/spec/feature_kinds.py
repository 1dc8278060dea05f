"""What a feature may be: a value as it stands in a table, or an aggregate of events over windows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import AfterValidator, Field, model_validator

from proml_kedro.extensions import Registry, UnknownNameError, aggregates
from proml_kedro.spec.base import Spec, Sql, format_duration, parse_duration
from proml_kedro.spec.dtype import Dtype

__all__ = ["AnyWindowFeature", "ColumnFeature", "Window", "WindowFeature", "aggregate", "window_length"]


def window_length(window: str) -> timedelta | None:
    """Return how far back a window reaches; None for ``all``, which reaches back to the beginning."""
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
        description: What it is, for people.
        tags: Words for tools that read Feast's registry.
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
        agg: The aggregate, which may have keys of its own.
        expression: SQL over the table's columns for what is aggregated; not needed to count rows.
        filter: SQL; only events for which it holds take part.
        windows: How far back to look; those of the view's `defaults` when left out, or `all` for a decayed sum.
        dtype: The type of the value, which only some aggregates leave to choose.
        description: What it is, for people.
        tags: Words for tools that read Feast's registry.
    """

    registries: ClassVar[Mapping[str, Registry[Any]]] = {"agg": aggregates}

    needs_expression: ClassVar[bool] = True
    """Whether there is nothing to aggregate without an expression."""
    fixed_dtype: ClassVar[Dtype | None] = "float"
    """The type of the value; None when ``dtype`` chooses it."""
    own_windows: ClassVar[tuple[str, ...]] = ()
    """The windows when none are given. With these, the view's `defaults` do not apply."""
    is_zero_when_empty: ClassVar[bool] = False
    """Whether the value is 0, rather than null, when no event takes part."""

    agg: str
    expression: Sql | None = None
    filter: Sql | None = None
    windows: Annotated[list[Window], Field(min_length=1)]
    dtype: Dtype = "float"
    description: str = ""
    tags: dict[str, str] = {}

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the class of the aggregate that a piece of YAML names; this one when there is none of that name."""
        return (aggregate(value.get("agg")) if isinstance(value, Mapping) else None) or cls

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        # Bundles of earlier versions hold a null for each option of another aggregate.
        given = {key: one for key, one in value.items() if one is not None or key in cls.model_fields}
        agg = given.get("agg")
        for option in given:
            owner = None if option in cls.model_fields else _owner(option)
            if owner:
                raise ValueError(f"{option} belongs to agg '{owner}', not to '{agg}'")
        for option in cls.options():
            if cls.model_fields[option].is_required() and given.get(option) is None:
                raise ValueError(f"agg '{agg}' needs {option}")
        implied: dict[str, Any] = {"windows": list(cls.own_windows)} if cls.own_windows else {}
        if cls.fixed_dtype is not None:
            implied["dtype"] = cls.fixed_dtype
        return {**implied, **given}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.needs_expression and self.expression is None:
            raise ValueError(f"agg '{self.agg}' needs an expression: what to take the {self.agg} of")
        if self.fixed_dtype not in (None, self.dtype):
            raise ValueError(f"a {self.agg} is {self.fixed_dtype}, not {self.dtype}; leave dtype out")
        return self

    @classmethod
    def options(cls) -> list[str]:
        """Return the keys that this aggregate has beyond those of all aggregates."""
        return [name for name in cls.model_fields if name not in WindowFeature.model_fields]

    def option_texts(self) -> dict[str, str]:
        """Return the values of :meth:`options` as text, for tags and pages."""
        values = {name: getattr(self, name) for name in self.options()}
        return {
            name: format_duration(one) if isinstance(one, timedelta) else str(one)
            for name, one in values.items()
            if one is not None
        }

    def event_type(self) -> str | None:
        """Return the SQL type that an event's value is given; None when it is taken as it is."""
        return None

    def check_snapshot(self, name: str, snapshot: timedelta) -> None:
        """Check that the aggregate can be computed on a view's clock.

        Args:
            name: The feature's name, for messages.
            snapshot: Step of the clock.

        Raises:
            ValueError: It cannot; the message is for the user.
        """
        for window in self.windows:
            length = window_length(window)
            if length is not None and (length % snapshot or not length):
                raise ValueError(
                    f"window {window} of '{name}' is not a multiple of snapshot {format_duration(snapshot)}"
                )


def aggregate(name: Any) -> type[WindowFeature] | None:
    """Return the aggregate of a name, None when there is none."""
    try:
        found: type[WindowFeature] = aggregates.get(str(name))
    except UnknownNameError:
        return None
    return found


def _owner(option: str) -> str | None:
    """Return the first aggregate that has an option."""
    return next((name for name in aggregates.names() if option in aggregates.get(name).model_fields), None)


AnyWindowFeature = aggregates.field(WindowFeature, lambda entry: entry, key="agg")
"""The mapping of a windowed feature: ``agg`` names the aggregate, which checks the other keys."""
