"""``conf/features/*.yaml``: feature views, declared.

Four sorts of view: *request* features come with the example itself; *column* features are read from a table as they
are; *windowed* features aggregate a table of events; *on-demand* features are computed from others when they are asked
for, the same way in training and when scoring. A feature is called ``view.feature`` everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, RootModel, Tag, model_validator

from proml_kedro.spec.base import Duration, Name, PositiveDuration, Spec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_kinds import (
    AnyWindowFeature,
    ColumnFeature,
    Window,
    WindowFeature,
    aggregate,
    window_length,
)
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP


def _sort_of_feature(value: Any) -> str:
    has_agg = "agg" in value if isinstance(value, dict) else isinstance(value, WindowFeature)
    return "window" if has_agg else "column"


__all__ = [
    "ColumnFeature",
    "FeatureSource",
    "FeatureViewSpec",
    "FeaturesSpec",
    "WindowFeature",
    "window_length",
    "zero_when_empty",
]

FeatureSpec = Annotated[
    Annotated[ColumnFeature, Tag("column")] | Annotated[AnyWindowFeature, Tag("window")],
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
    ttl: PositiveDuration | None = None


class FeatureDefaults(Spec):
    """What the features of a view have in common.

    Attributes:
        windows: Windows of every aggregate that names none itself; a decayed sum keeps to its own.
    """

    windows: list[Window] = []


class FeatureViewSpec(Spec):
    """Features that share a source and a key.

    Attributes:
        key: Entity, or entities, of the problem that the values belong to; none for request and on-demand features.
        source: A table; ``request`` for columns of the example itself, sent with every scoring request; or
            ``on_demand`` for what is computed from other features.
        snapshot: Step of the clock on which windowed features change; their windows are multiples of it.
        defaults: What the view's features have in common.
        owner: Who answers for it.
        tags: Words for tools that read Feast's registry.
        description: What it is, for people.
        features: The features by name.
    """

    key: list[Name] = []
    source: FeatureSource | Literal["request", "on_demand"]
    snapshot: PositiveDuration = timedelta(hours=1)
    defaults: FeatureDefaults = FeatureDefaults()
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

    @model_validator(mode="before")
    @classmethod
    def _share_windows(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("features"), dict):
            return value
        defaults = value.get("defaults")
        windows = defaults.get("windows") if isinstance(defaults, dict) else getattr(defaults, "windows", None)
        if not windows:
            return value
        features = {
            name: {"windows": windows, **feature} if _takes_default_windows(feature) else feature
            for name, feature in value["features"].items()
        }
        return {**value, "features": features}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        windowed = [name for name, feature in self.features.items() if isinstance(feature, WindowFeature)]
        if isinstance(self.source, str):
            self._check_unstored(windowed)
            return self
        if not self.key:
            raise ValueError("key is missing: which entity do these values belong to?")
        if windowed and len(windowed) < len(self.features):
            raise ValueError(f"'{windowed[0]}' is windowed and others are not: put them into two views")
        if windowed and self.source.event_time is None:
            raise ValueError("windowed features need source.event_time: when did each event happen?")
        if windowed and self.source.ttl is not None:
            raise ValueError("windowed features need no source.ttl: the window says how far back they reach")
        taken = sorted({*self.key, EVENT_TIMESTAMP, CREATED_TIMESTAMP} & set(self.columns()))
        if taken:
            raise ValueError(f"a feature cannot be called '{taken[0]}', like the view's key or its times")
        if self.defaults.windows and not windowed:
            raise ValueError("defaults.windows is for aggregates, and none of the features is one")
        for name, feature in self.features.items():
            if isinstance(feature, WindowFeature):
                feature.check_snapshot(name, self.snapshot)
        return self

    def _check_unstored(self, windowed: list[str]) -> None:
        if self.source == "request":
            if self.key or windowed:
                raise ValueError("request features have no key and no windows: they come with each example")
            return
        if self.key or windowed:
            raise ValueError("on-demand features have no key and no windows: they are computed from other features")
        for name, feature in self.features.items():
            if feature.expression is None:
                raise ValueError(f"'{name}' needs an expression over other features, such as weather.temp - plane.age")

    @property
    def is_request(self) -> bool:
        """Whether the values come with each example."""
        return self.source == "request"

    @property
    def is_on_demand(self) -> bool:
        """Whether the values are computed from other features when they are asked for."""
        return self.source == "on_demand"

    @property
    def is_stored(self) -> bool:
        """Whether the values are kept in a feature table, and online."""
        return isinstance(self.source, FeatureSource)

    @property
    def is_windowed(self) -> bool:
        """Whether the features are aggregates over windows."""
        return isinstance(next(iter(self.features.values())), WindowFeature)

    def columns_of(self, field: str) -> list[str]:
        """Return the features that one declaration stands for: one for each window."""
        return list(_column_names(field, self.features[field]))

    def columns(self) -> dict[str, Dtype]:
        """Return name and type of each feature, a windowed one once for every window, in declared order."""
        return {
            name: feature.dtype for field, feature in self.features.items() for name in _column_names(field, feature)
        }


def _takes_default_windows(feature: Any) -> bool:
    if not isinstance(feature, dict) or "agg" not in feature:
        return False
    kind = aggregate(feature["agg"])
    return kind is None or not kind.own_windows


def _column_names(field: str, feature: ColumnFeature | WindowFeature) -> Iterator[str]:
    if isinstance(feature, ColumnFeature):
        yield field
    else:
        yield from (f"{field}_{window}" for window in feature.windows)


def zero_when_empty(view: FeatureViewSpec) -> set[str]:
    """Return the columns of a view whose value is 0 as long as there was no event."""
    return {
        column
        for name, feature in view.features.items()
        if isinstance(feature, WindowFeature) and feature.is_zero_when_empty
        for column in view.columns_of(name)
    }


class FeaturesSpec(RootModel[dict[Name, FeatureViewSpec]]):
    """All feature views of a problem, by name."""

    root: Annotated[dict[Name, FeatureViewSpec], Field(min_length=1)]

    @property
    def views(self) -> dict[str, FeatureViewSpec]:
        """The views by name."""
        return self.root

    def columns(self) -> dict[str, Dtype]:
        """Return every feature as ``view.feature`` with its type, in declared order."""
        return {
            str(FeatureRef(view, feature)): dtype
            for view, spec in self.root.items()
            for feature, dtype in spec.columns().items()
        }

    def neutral(self) -> dict[str, bool | int | float | str]:
        """Return the features with a neutral value, as ``view.feature``."""
        return {
            str(FeatureRef(view, name)): feature.neutral
            for view, spec in self.root.items()
            for name, feature in spec.features.items()
            if isinstance(feature, ColumnFeature) and feature.neutral is not None
        }

    def select(self, patterns: list[str]) -> dict[str, Dtype]:
        """Return the features that match, each once, in the order of the patterns; ``*`` matches any text.

        A pattern that matches nothing selects nothing: :func:`proml_kedro.spec.run.check` reports those.
        """
        columns = self.columns()
        return {name: columns[name] for pattern in patterns for name in columns if fnmatchcase(name, pattern)}
