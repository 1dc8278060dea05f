"""Features of given keys from the online store, with the same meaning as in a training set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from proml_kedro.features.online.store import OnlineStore, StoredRow, key_encoder, to_microseconds, to_moment
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec, zero_when_empty

Array = npt.NDArray[Any]

_MICROSECOND = timedelta(microseconds=1)

State = Literal["good", "expired", "later", "unknown"]


@dataclass(frozen=True)
class OnlineValue:
    """Value of a feature in the online store.

    Attributes:
        value: The value as a reader gets it; None when it is missing.
        moment: When it became known; None when the store has nothing for the key.
        state: ``good``; ``expired`` when it is older than its view's TTL; ``later`` when it is from after the moment
            that is asked for; ``unknown`` when the store has nothing for the key.
    """

    value: Any
    moment: datetime | None
    state: State


@dataclass(frozen=True)
class Found:
    """Features of n rows, and how far the store could answer.

    Attributes:
        columns: An array for each feature, as :meth:`OnlineFeatures.read` gives them.
        expired: How many features of each row are missing since they are older than their view's TTL; shape (n,).
        unknown: How many counts and sums are zero since the store has nothing for the key; shape (n,).
        later: How many the store has from after the row's moment only, so that what held then is not known; shape (n,).
    """

    columns: dict[str, Array]
    expired: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.int64]
    later: npt.NDArray[np.int64]


class OnlineFeatures:
    """Reader of features by key, without Feast.

    A store keeps the latest value that was materialized, however old. Here a value older than its view's TTL is
    missing, as it is in a training set; so is one from after the moment that is asked for.

    Args:
        store: The store.
        features: The problem's features.
        columns: The features to read, as ``view.feature``. Those that are not stored are omitted.
    """

    def __init__(self, store: OnlineStore, features: FeaturesSpec, columns: Mapping[str, Dtype]) -> None:
        self._store = store
        self._views: dict[str, FeatureViewSpec] = {}
        self._columns: dict[str, list[tuple[str, str, Dtype]]] = {}  # of each view: full name, own name, type
        self._order: dict[str, FeatureRef] = {}
        for name, dtype in columns.items():
            ref = FeatureRef.parse(name)
            if features.views[ref.view].is_stored:
                self._order[name] = ref
                self._views[ref.view] = features.views[ref.view]
                self._columns.setdefault(ref.view, []).append((name, ref.feature, dtype))
        self._types: dict[str, dict[str, str]] = {}
        self._encoders: dict[str, Callable[[Mapping[str, Any]], bytes]] = {}
        self._ttls = {name: _ttl(view) for name, view in self._views.items()}
        self._zeros = {name: zero_when_empty(view) for name, view in self._views.items()}

    def read(self, entity_rows: Sequence[Mapping[str, Any]], as_of: Sequence[datetime] | datetime) -> dict[str, Array]:
        """Read the features of each row.

        Args:
            entity_rows: n rows with the keys; other columns do not matter. A missing key is None.
            as_of: The moment, or one for each row, with a time zone.

        Returns:
            For each feature an array of shape (n,): float64 with NaN for missing, or objects of str with None. For a
            vector float64 of shape (n, size), with a row of NaN where it is missing.

        Raises:
            ValueError: A key cannot be of its type, or the numbers of rows and moments differ.
            NotStoredError: The store lacks a view.
        """
        return self.find(entity_rows, as_of).columns

    def find(self, entity_rows: Sequence[Mapping[str, Any]], as_of: Sequence[datetime] | datetime) -> Found:
        """Read the features of each row, and tell what could not be answered; see :meth:`read`.

        Raises:
            ValueError: A key cannot be of its type, or the numbers of rows and moments differ.
            NotStoredError: The store lacks a view.
        """
        n = len(entity_rows)
        moments = [as_of] * n if isinstance(as_of, datetime) else list(as_of)
        if len(moments) != n:
            raise ValueError(f"{n} rows and {len(moments)} moments")
        microseconds = [to_microseconds(moment) for moment in moments]
        result: dict[str, Array] = {}
        counts = {state: np.zeros(n, np.int64) for state in ("expired", "later", "unknown")}
        for view, columns in self._columns.items():
            keys = [self._key(view, row) for row in entity_rows]
            stored = self._store.read(view, [key for key in keys if key is not None])
            rows: list[StoredRow | None] = []
            for number, (key, at) in enumerate(zip(keys, microseconds, strict=True)):
                row = None if key is None else stored.get(key)
                state = "good" if row is None else self._state(view, row[0], at)
                if state != "good":
                    counts[state][number] += len(columns)
                rows.append(row if state == "good" else None)
            nothing = [row for row, key in enumerate(keys) if key is not None and key not in stored]
            for name, column, dtype in columns:
                result[name] = _column(rows, column, dtype)
                if column in self._zeros[view]:
                    result[name][nothing] = 0
                    counts["unknown"][nothing] += 1
        return Found({name: result[name] for name in self._order}, **counts)

    def look(self, entity_row: Mapping[str, Any], as_of: datetime) -> dict[str, OnlineValue]:
        """Read the features of one row with their moments, expired and later ones too.

        Args:
            entity_row: The keys. A feature is omitted when one of its keys is missing.
            as_of: The moment, with a time zone.

        Raises:
            ValueError: A key cannot be of its type.
            NotStoredError: The store lacks a view.
        """
        values = self.read([entity_row], as_of)
        found = {}
        for name, ref in self._order.items():
            key = self._key(ref.view, entity_row)
            if key is not None:
                stored = self._store.read(ref.view, [key]).get(key)
                state: State = "unknown"
                if stored is not None:
                    state = self._state(ref.view, stored[0], to_microseconds(as_of))
                found[name] = OnlineValue(_plain(values[name][0]), to_moment(stored[0]) if stored else None, state)
        return found

    def _state(self, view: str, moment: int, as_of: int) -> State:
        if moment > as_of:
            return "later"
        ttl = self._ttls[view]
        return "expired" if ttl is not None and as_of - moment > ttl else "good"

    def _key(self, view: str, row: Mapping[str, Any]) -> bytes | None:
        """Return the row's key in a view; None when a part of it is missing."""
        if view not in self._types:
            self._types[view] = self._store.key_types(view)
            self._encoders[view] = key_encoder(self._types[view])
        types = self._types[view]
        values: dict[str, Any] = {}
        for name, kind in types.items():
            one = row.get(name)
            if one is None or one != one:
                return None
            values[name] = _whole(name, one) if kind == "int" else one
        return self._encoders[view](values)


def _ttl(view: FeatureViewSpec) -> int | None:
    """Return a view's TTL in microseconds."""
    ttl = None if isinstance(view.source, str) else view.source.ttl
    return None if ttl is None else ttl // _MICROSECOND


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{name}' is not a whole number") from error


def _column(rows: Sequence[StoredRow | None], column: str, dtype: Dtype) -> Array:
    """Return one feature's values, missing where there is no row."""
    result = _empty(dtype, len(rows))
    layout, position = None, None
    for number, row in enumerate(rows):
        if row is None:
            continue
        if row[1] is not layout:
            layout = row[1]
            position = next((place for place, (name, _) in enumerate(layout) if name == column), None)
        value = None if position is None else row[2][position]
        if value is not None:
            result[number] = value
    return result


def _plain(value: Any) -> Any:
    """Return a value as people and JSON read it; None when it is missing."""
    if isinstance(value, np.ndarray):
        return None if np.isnan(value).any() else value.tolist()
    return None if value is None or value != value else value


def _empty(dtype: Dtype, n: int) -> Array:
    size = vector_size(dtype)
    if size is not None:
        return np.full((n, size), np.nan)
    return np.full(n, None, object) if dtype == "str" else np.full(n, np.nan)
