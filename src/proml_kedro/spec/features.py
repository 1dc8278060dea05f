"""``conf/features/*.yaml``: feature views, declared.

Three sorts of view: *request* features come with the example itself; *column* features are read from a table as
they are; *windowed* features aggregate a table of events. A feature is called ``view.feature`` everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, Discriminator, Field, RootModel, Tag, model_validator

from proml_kedro.spec.base import Duration, Name, Spec, Sql, format_duration, parse_duration

Dtype = Literal["float", "int", "bool", "str"]
Aggregate = Literal["count", "sum", "mean", "min", "max"]


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
        expression: SQL over the table's columns; the column of the feature's own name when left out.
    """

    dtype: Dtype
    expression: Sql | None = None
    description: str = ""
    tags: dict[str, str] = {}


class WindowFeature(Spec):
    """An aggregate of events over windows: one feature ``NAME_WINDOW`` for each window.

    The value at time t aggregates the events with ``t - window <= known_at < t``, where known_at is the
    event's time plus the source's delay. An empty window counts 0 and sums 0; its mean, min and max are null.

    Attributes:
        agg: The aggregate.
        expression: SQL over the table's columns for what is aggregated; not needed to count rows.
        filter: SQL; only events for which it holds take part.
    """

    agg: Aggregate
    expression: Sql | None = None
    filter: Sql | None = None
    windows: Annotated[list[Window], Field(min_length=1)]
    description: str = ""
    tags: dict[str, str] = {}

    @model_validator(mode="after")
    def _has_something_to_aggregate(self) -> Self:
        if self.agg != "count" and self.expression is None:
            raise ValueError(f"agg '{self.agg}' needs an expression: what to take the {self.agg} of")
        return self

    @property
    def dtype(self) -> Dtype:
        """Counts are int, everything else is float."""
        return "int" if self.agg == "count" else "float"


def _sort_of_feature(value: Any) -> str:
    has_agg = "agg" in value if isinstance(value, dict) else isinstance(value, WindowFeature)
    return "window" if has_agg else "column"


FeatureSpec = Annotated[
    Annotated[ColumnFeature, Tag("column")] | Annotated[WindowFeature, Tag("window")],
    Discriminator(_sort_of_feature),
]


class FeatureSource(Spec):
    """Where a view's values come from.

    Attributes:
        table: A table of the problem.
        event_time: Column with the moment of the event or observation; left out for a table that does not change,
            whose values then hold at all times.
        delay: How long after that moment the fact is known.
        ttl: For column features, how long a value stays good; for ever when left out.
    """

    table: Name
    event_time: Name | None = None
    delay: Duration = timedelta(0)
    ttl: Duration | None = None


class FeatureViewSpec(Spec):
    """Features that share a source and a key.

    Attributes:
        key: Entity, or entities, of the problem that the values belong to; none for request features.
        source: A table, or ``request``: columns of the example itself, sent with every scoring request.
        snapshot: Step of the clock on which windowed features change; their windows are multiples of it.
    """

    key: list[Name] = []
    source: FeatureSource | Literal["request"]
    snapshot: Duration = timedelta(hours=1)
    owner: str = ""
    tags: dict[str, str] = {}
    description: str = ""
    features: Annotated[dict[Name, FeatureSpec], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _one_key_as_list(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("key"), str):
            return {**value, "key": [value["key"]]}
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        windowed = [name for name, feature in self.features.items() if isinstance(feature, WindowFeature)]
        if self.source == "request":
            if self.key or windowed:
                raise ValueError("request features have no key and no windows: they come with each example")
            return self
        if not self.key:
            raise ValueError("key is missing: which entity do these values belong to?")
        if windowed and len(windowed) < len(self.features):
            raise ValueError(f"'{windowed[0]}' is windowed and others are not: put them into two views")
        if windowed and self.source.event_time is None:
            raise ValueError("windowed features need source.event_time: when did each event happen?")
        if windowed and self.source.ttl is not None:
            raise ValueError("windowed features need no source.ttl: the window says how far back they reach")
        taken = sorted({*self.key, "event_timestamp", "created_timestamp"} & set(self.columns()))
        if taken:
            raise ValueError(f"a feature cannot be called '{taken[0]}', like the view's key or its times")
        self._check_windows()
        return self

    def _check_windows(self) -> None:
        for name, feature in self.features.items():
            for window in feature.windows if isinstance(feature, WindowFeature) else ():
                length = window_length(window)
                if length is not None and (length % self.snapshot or not length):
                    raise ValueError(
                        f"window {window} of '{name}' is not a multiple of snapshot {format_duration(self.snapshot)}"
                    )

    @property
    def is_request(self) -> bool:
        """Whether the values come with each example."""
        return self.source == "request"

    @property
    def is_windowed(self) -> bool:
        """Whether the features are aggregates over windows."""
        return isinstance(next(iter(self.features.values())), WindowFeature)

    def columns(self) -> dict[str, Dtype]:
        """Name and type of each feature, a windowed one once for every window, in declared order."""
        return {
            name: feature.dtype for field, feature in self.features.items() for name in _column_names(field, feature)
        }


def _column_names(field: str, feature: ColumnFeature | WindowFeature) -> Iterator[str]:
    if isinstance(feature, ColumnFeature):
        yield field
    else:
        yield from (f"{field}_{window}" for window in feature.windows)


class FeaturesSpec(RootModel[dict[Name, FeatureViewSpec]]):
    """All feature views of a problem, by name."""

    root: Annotated[dict[Name, FeatureViewSpec], Field(min_length=1)]

    @property
    def views(self) -> dict[str, FeatureViewSpec]:
        """The views by name."""
        return self.root

    def columns(self) -> dict[str, Dtype]:
        """Every feature as ``view.feature`` with its type, in declared order."""
        return {
            f"{view}.{feature}": dtype for view, spec in self.root.items() for feature, dtype in spec.columns().items()
        }

    def select(self, patterns: list[str]) -> dict[str, Dtype]:
        """The features that match, each once, in the order of the patterns; ``*`` matches any text.

        A pattern that matches nothing selects nothing: :func:`proml_kedro.spec.run.check` reports those.
        """
        columns = self.columns()
        return {name: columns[name] for pattern in patterns for name in columns if fnmatchcase(name, pattern)}
