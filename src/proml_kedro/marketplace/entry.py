"""Every declared feature as one row: what the marketplace shows, searches and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from proml_kedro.spec.base import format_duration, parse_duration
from proml_kedro.spec.dtype import feature_type
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import (
    ColumnFeature,
    FeatureSource,
    FeaturesSpec,
    FeatureViewSpec,
    WindowFeature,
    window_length,
)
from proml_kedro.spec.problem import ProblemSpec

REQUEST = "request"
"""The entity of features that come with the request, or are computed when it comes: the example itself."""


@dataclass(frozen=True)
class Entry:
    """Declared feature, a windowed one once for each window.

    Attributes:
        name: ``view.feature``.
        feature_type: ``numerical``, ``categorical`` or ``embedding``.
        entity: Keys of its view, joined by commas, or ``request``.
        window: As it is written, or empty.
        window_seconds: Length of the window: 0 without one, -1 for ``all``.
        source: File that the table is read from.
        place: File and line that declare it.
        models: Models in the configuration that read it, joined by commas.
        bundles: Bundles on disk that read it, joined by commas.
        null_share: Share of examples that lack it; None when there is no training set with it.
        importance: Its largest share in a model; None when no evaluation has it.
    """

    name: str
    problem: str
    view: str
    dtype: str
    feature_type: str
    entity: str
    window: str = ""
    window_seconds: int = 0
    owner: str = ""
    description: str = ""
    aggregate: str = ""
    expression: str = ""
    filter: str = ""
    table: str = ""
    source: str = ""
    event_time: str = ""
    delay: str = ""
    ttl: str = ""
    snapshot: str = ""
    tags: str = ""
    place: str = ""
    models: str = ""
    bundles: str = ""
    null_share: float | None = None
    importance: float | None = None

    @property
    def ref(self) -> FeatureRef:
        """Reference to the feature within its problem."""
        return FeatureRef.parse(self.name)

    @property
    def definition(self) -> str:
        """Definition of its value, in one line."""
        value = self.expression or (self.ref.feature if not self.aggregate else "")
        if self.aggregate:
            value = f"{self.aggregate}({value or '*'})"
        parts = [value, f"where {self.filter}" if self.filter else "", f"from {self.table}" if self.table else ""]
        return " ".join(part for part in parts if part)


COLUMNS = tuple(one.name for one in fields(Entry))


@dataclass(frozen=True)
class FeatureUsage:
    """Usage and figures of a problem's features, from models and results.

    Attributes:
        models: Model → the features it reads.
        bundles: Bundle → the features it reads.
        null_share: Feature → share of examples without it.
        importance: Feature → its largest share in a model.
    """

    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bundles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    null_share: Mapping[str, float] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)


def list_features(
    problem: ProblemSpec, features: FeaturesSpec, usage: FeatureUsage, where: Callable[[str], str | None]
) -> Iterator[Entry]:
    """List the declared features of a problem, a windowed one once for each window.

    Args:
        problem: The problem.
        features: Its features.
        usage: What models and results say of the features.
        where: File and line of a dotted configuration key.
    """
    models, bundles = _readers(usage.models), _readers(usage.bundles)
    for view_name, view in features.views.items():
        common = _of_view(problem, view_name, view)
        for field_name, feature in view.features.items():
            place = where(f"features.{view_name}.features.{field_name}") or ""
            for own in _of_feature(field_name, view, feature):
                name = str(FeatureRef(view_name, own.pop("column")))
                yield Entry(
                    name=name,
                    **common,
                    **own,
                    place=place,
                    models=",".join(models.get(name, ())),
                    bundles=",".join(bundles.get(name, ())),
                    null_share=usage.null_share.get(name),
                    importance=usage.importance.get(name),
                )


def _readers(reads: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for reader, names in reads.items():
        for name in names:
            readers.setdefault(name, []).append(reader)
    return readers


def _of_view(problem: ProblemSpec, name: str, view: FeatureViewSpec) -> dict[str, Any]:
    """Return what all features of a view share."""
    common: dict[str, Any] = {
        "problem": problem.name,
        "view": name,
        "owner": view.owner,
        "entity": ",".join(view.key) or REQUEST,
        "table": problem.examples.table,
        "snapshot": format_duration(view.snapshot) if view.is_windowed else "",
    }
    if isinstance(view.source, FeatureSource):
        common["table"] = view.source.table
        common["event_time"] = view.source.event_time or ""
        common["delay"] = format_duration(view.source.delay) if view.source.delay else ""
        common["ttl"] = format_duration(view.source.ttl) if view.source.ttl else ""
    if view.is_on_demand:
        common["table"] = ""
    table = problem.tables.get(common["table"])
    common["source"] = (table.source or table.query or "") if table else ""
    return common


def _of_feature(name: str, view: FeatureViewSpec, feature: ColumnFeature | WindowFeature) -> Iterator[dict[str, Any]]:
    """Yield what each column of a feature has of its own; ``column`` is its name in the view."""
    own = {
        "dtype": feature.dtype,
        "feature_type": feature_type(feature.dtype),
        "expression": feature.expression or "",
        "tags": " ".join(f"{key}:{value}" for key, value in {**view.tags, **feature.tags}.items()),
    }
    if isinstance(feature, ColumnFeature):
        yield {"column": name, **own, "description": feature.description}
        return
    own |= {"aggregate": feature.agg, "filter": feature.filter or ""}
    for window in dict.fromkeys(feature.windows):
        words = "all time" if window == "all" else f"last {window}"
        yield {
            "column": f"{name}_{window}",
            **own,
            "description": f"{feature.description}, {words}" if feature.description else "",
            "window": window,
            "window_seconds": seconds(window_length(window)),
        }


def seconds(length: timedelta | None) -> int:
    """Return a window's length in whole seconds; -1 for a window of all time."""
    return -1 if length is None else int(length.total_seconds())


def window_words(window: str) -> str:
    """Return the words that people use for a window, so that it is found by them.

    >>> window_words("24h")
    'last 24 hours 1 day'
    >>> window_words("all")
    'all time'
    """
    if window in ("", "all"):
        return "all time" if window else ""
    length: timedelta = parse_duration(window)
    words = [
        f"{length // unit} {name}{'s' if length != unit else ''}"
        for name, unit in (("minute", _MINUTE), ("hour", _HOUR), ("day", _DAY), ("week", _WEEK))
        if length >= unit and not length % unit and length // unit <= 999
    ]
    return f"last {' '.join(words[-2:])}"


_MINUTE, _HOUR, _DAY, _WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
