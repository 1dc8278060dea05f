"""Features of given keys from the online store, with the same meaning as in a training set."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from proml_kedro.features.training_set import zero_when_empty
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec

if TYPE_CHECKING:
    from feast import FeatureStore

Array = npt.NDArray[Any]

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
_ROWS_PER_READ = 10_000
"""SQLite takes some 30,000 keys in one query."""


def materialize(store: FeatureStore, end: datetime, service_name: str | None = None) -> None:
    """Put the values as of a moment into the online store.

    Args:
        store: The repository.
        end: The moment; values known at it are included.
        service_name: Only the views of this feature service; all views when left out or when there is no such service.
    """
    materialize_views(store, views_of(store, service_name or ""), BEGINNING, end)


def materialize_views(store: FeatureStore, views: Sequence[str], start: datetime, end: datetime) -> None:
    """Put into the online store what became known of some views from ``start`` to ``end``, both included."""
    # Feast reports its progress on standard output.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        store.materialize(start, end, feature_views=list(views))


def views_of(store: FeatureStore, service_name: str) -> list[str]:
    """The views with stored values that a feature service reads; all of them when there is no such service."""
    services = {one.name: one for one in store.list_feature_services()}
    stored = [one.name for one in store.list_feature_views()]
    if service_name not in services:
        return stored
    return [one.name for one in services[service_name].feature_view_projections if one.name in stored]


State = Literal["good", "expired", "later", "unknown"]


@dataclass(frozen=True)
class OnlineValue:
    """What the online store has of a feature.

    Attributes:
        value: As a reader gets it; None when it is missing.
        moment: When it became known; None when the store has nothing for the key.
        state: ``good``; ``expired`` when it is older than its view's TTL; ``later`` when it is from after the moment
            that is asked for; ``unknown`` when there is nothing.
    """

    value: Any
    moment: datetime | None
    state: State


class OnlineFeatures:
    """Reads features by key.

    Feast keeps the latest value that was materialized, however old. Here a value older than its view's TTL is
    missing, as it is in a training set; so is one from after the moment that is asked for.

    Args:
        store: The repository.
        features: The problem's features.
        columns: Those to read, as ``view.feature``; request features among them are left out.
    """

    def __init__(self, store: FeatureStore, features: FeaturesSpec, columns: Mapping[str, Dtype]) -> None:
        self._store = store
        self._views = {
            name: view
            for name, view in features.views.items()
            if view.is_stored and any(column.partition(".")[0] == name for column in columns)
        }
        self._columns = {name: dtype for name, dtype in columns.items() if name.partition(".")[0] in self._views}
        self._keys = {
            key: store.get_entity(key).value_type.name == "INT64" for view in self._views.values() for key in view.key
        }

    def read(self, entity_rows: Sequence[Mapping[str, Any]], as_of: Sequence[datetime] | datetime) -> dict[str, Array]:
        """The features of each row.

        Args:
            entity_rows: n rows with the keys; what else is in them does not matter. A missing key is None.
            as_of: The moment, or one for each row; with a time zone.

        Returns:
            For each feature an array of shape (n,): float64 with NaN for missing, or objects of str with None. For a
            vector float64 of shape (n, size), with a row of NaN where it is missing.

        Raises:
            ValueError: A key cannot be of its type, or there are more moments than rows or fewer.
        """
        n = len(entity_rows)
        moments = [as_of] * n if isinstance(as_of, datetime) else list(as_of)
        if len(moments) != n:
            raise ValueError(f"{n} rows and {len(moments)} moments")
        seconds = np.array([moment.timestamp() for moment in moments], np.float64)
        if not n:
            return {name: _empty(dtype, 0) for name, dtype in self._columns.items()}
        parts = [
            self._read(entity_rows[start : start + _ROWS_PER_READ], seconds[start : start + _ROWS_PER_READ])
            for start in range(0, n, _ROWS_PER_READ)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._columns}

    def look(self, entity_row: Mapping[str, Any], as_of: datetime) -> dict[str, OnlineValue]:
        """The features of one row with the moments they are from, also of those that do not count.

        Args:
            entity_row: The keys; a feature is left out when one of its keys is.
            as_of: The moment, with a time zone.

        Raises:
            ValueError: A key cannot be of its type.
        """
        keys = {name: [self._key(name, entity_row.get(name))] for name in self._keys}
        names = [name for name in self._columns if all(keys[key][0] is not None for key in self._view(name).key)]
        vectors = self._ask(keys)
        as_of_row = np.array([as_of.timestamp()])
        found = {}
        for name in names:
            vector, view = vectors[name], self._view(name)
            value = self._values(name, self._columns[name], vector, np.ones(1, bool), as_of_row)[0]
            moment = _moments(vector)[0] if _found(vector)[0] else None
            alive = moment is None or bool(_holds(view, np.array([moment]), as_of_row)[0])
            late = moment is not None and moment > as_of.timestamp()
            state: State = "unknown" if moment is None else "good" if alive else "later" if late else "expired"
            plain = _plain(value)
            found[name] = OnlineValue(plain, None if moment is None else datetime.fromtimestamp(moment, UTC), state)
        return found

    def _read(self, entity_rows: Sequence[Mapping[str, Any]], as_of: Array) -> dict[str, Array]:
        if not self._columns:
            return {}
        keys = {name: [self._key(name, row.get(name)) for row in entity_rows] for name in self._keys}
        vectors = self._ask(keys)
        known = {
            name: np.array([all(keys[key][row] is not None for key in view.key) for row in range(len(as_of))])
            for name, view in self._views.items()
        }
        return {
            name: self._values(name, dtype, vectors[name], known[name.partition(".")[0]], as_of)
            for name, dtype in self._columns.items()
        }

    def _ask(self, keys: Mapping[str, list[Any]]) -> dict[str, Any]:
        """Feast's answer for each feature."""
        # Feast cannot look for a key that is missing: it gets a stand-in, and the answer is not used.
        asked = {
            name: [(0 if self._keys[name] else "") if one is None else one for one in values]
            for name, values in keys.items()
        }
        response = self._store.get_online_features(
            features=[name.replace(".", ":", 1) for name in self._columns], entity_rows=asked, full_feature_names=True
        ).proto
        vectors = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
        return {name: vectors[name.replace(".", "__", 1)] for name in self._columns}

    def _view(self, name: str) -> FeatureViewSpec:
        return self._views[name.partition(".")[0]]

    def _key(self, name: str, value: Any) -> int | str | None:
        if value is None or value != value:
            return None
        if not self._keys[name]:
            return str(value)
        try:
            return int(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{name}' is not a whole number") from error

    def _values(self, name: str, dtype: Dtype, vector: Any, known: Array, as_of: Array) -> Array:
        """One feature's values; ``known`` says for which rows the key is there."""
        view_name, _, column = name.partition(".")
        view = self._views[view_name]
        found = _found(vector)
        valid = known & found & _holds(view, _moments(vector), as_of)
        result = _empty(dtype, len(as_of))
        for row in np.flatnonzero(valid):
            field = vector.values[row].WhichOneof("val")
            if field is not None:
                value = getattr(vector.values[row], field)
                result[row] = value.val if result.ndim > 1 else value
        if column in zero_when_empty(view):
            result[known & ~found] = 0
        return result


def _found(vector: Any) -> Array:
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    return np.array([status == FieldStatus.PRESENT for status in vector.statuses])


def _moments(vector: Any) -> Array:
    return np.array([one.seconds + one.nanos / 1e9 for one in vector.event_timestamps], np.float64)


def _holds(view: FeatureViewSpec, moments: Array, as_of: Array) -> Array:
    if isinstance(view.source, str):
        return np.zeros(len(as_of), bool)
    holds: Array = moments <= as_of
    if view.source.ttl is not None:
        holds &= as_of - moments <= view.source.ttl.total_seconds()
    return holds


def _plain(value: Any) -> Any:
    """A value as people and JSON read it; None when it is missing."""
    if isinstance(value, np.ndarray):
        return None if np.isnan(value).any() else value.tolist()
    return None if value is None or value != value else value


def _empty(dtype: Dtype, n: int) -> Array:
    size = vector_size(dtype)
    if size is not None:
        return np.full((n, size), np.nan)
    return np.full(n, None, object) if dtype == "str" else np.full(n, np.nan)
