"""Logged requests beside what training would have read at their moments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proml_kedro.errors import Mistake, UserError, did_you_mean
from proml_kedro.features.online.consistency import Comparison, compare_column, digest, to_array
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.features import FeaturesSpec, zero_when_empty

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class Logged:
    """A row that was scored.

    Attributes:
        as_of: As of when its features were read.
        keys: Its entity keys.
        features: The features that were looked up.
    """

    as_of: datetime
    keys: Mapping[str, Any]
    features: Mapping[str, Any]


def read_log(file: Path, last: int) -> list[Logged]:
    """The last rows of a request log.

    Args:
        file: As :mod:`proml_kedro.serving.request_log` writes it.
        last: How many rows at most.

    Raises:
        UserError: A line is none of such a log.
    """
    from collections import deque

    with file.open(encoding="utf-8", errors="replace") as content:
        lines = deque(enumerate(content, 1), last)
    rows, mistakes = [], []
    for number, line in lines:
        try:
            one = json.loads(line)
            moment = datetime.fromisoformat(one["as_of"])
            if moment.tzinfo is None:
                raise ValueError("a moment without a time zone")
            rows.append(Logged(moment, dict(one["keys"]), dict(one["features"])))
        except (ValueError, KeyError, TypeError):
            mistakes.append(Mistake("", "no line of a request log", f"{file.name}:{number}"))
    if mistakes:
        raise UserError(*mistakes[:20])
    return rows


def compare_log(
    store: FeatureStore, features: FeaturesSpec, rows: Sequence[Logged], tolerance: float
) -> list[Comparison]:
    """Compare what was looked up with what a training set would hold for the same keys and moments.

    Args:
        store: The repository.
        features: The problem's features.
        rows: What was logged.
        tolerance: Relative difference of two numbers that counts as none.

    Raises:
        UserError: A logged feature is not declared any more.
    """
    if not rows:
        return []
    dtypes = features.columns()
    names = list(dict.fromkeys(name for row in rows for name in row.features))
    gone = [name for name in names if name not in dtypes]
    if gone:
        hint = did_you_mean(gone[0], dtypes)
        raise UserError(Mistake("", f"the log has the feature '{gone[0]}', which is not declared.{hint}"))
    offline = _offline(store, features, rows, names)
    digests = [digest(row.keys) for row in rows]
    span = f"{min(row.as_of for row in rows).isoformat()} to {max(row.as_of for row in rows).isoformat()}"
    comparisons = []
    for name in names:
        there = [position for position, row in enumerate(rows) if name in row.features]
        online = to_array([rows[one].features[name] for one in there], dtypes[name])
        known = [digests[one] for one in there]
        comparisons.append(compare_column(name, span, offline[name][there], online, known, tolerance))
    return comparisons


def _offline(
    store: FeatureStore, features: FeaturesSpec, rows: Sequence[Logged], names: Sequence[str]
) -> dict[str, Any]:
    """Each feature as of each row's moment, as :func:`to_array` has it."""
    import pandas as pd

    views = dict.fromkeys(name.partition(".")[0] for name in names)
    keys = {key for view in views for key in features.views[view].key}
    types = {key: "Int64" if store.get_entity(key).value_type.name == "INT64" else "string" for key in keys}
    frame = pd.DataFrame({key: [row.keys.get(key) for row in rows] for key in sorted(keys)}, dtype=object)
    frame = frame.astype(types).assign(
        event_timestamp=pd.to_datetime([row.as_of for row in rows], utc=True), __row=range(len(rows))
    )
    refs = [name.replace(".", ":", 1) for name in names]
    table = store.get_historical_features(frame, refs, full_feature_names=True).to_arrow().sort_by("__row")
    if table.num_rows != len(rows):
        raise RuntimeError(f"the join lost or doubled rows: {len(rows)} logged, {table.num_rows} joined")
    dtypes: Mapping[str, Dtype] = features.columns()
    found = {}
    for name in names:
        view, _, column = name.partition(".")
        values = to_array(table[name.replace(".", "__", 1)].to_pylist(), dtypes[name])
        if column in zero_when_empty(features.views[view]):
            values[_have_keys(rows, features.views[view].key) & np.isnan(values)] = 0
        found[name] = values
    return found


def _have_keys(rows: Sequence[Logged], keys: Sequence[str]) -> Any:
    """Whether each row has all of these keys, shape (n,)."""
    return np.array([all(row.keys.get(key) is not None for key in keys) for row in rows])
