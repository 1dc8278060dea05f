"""FeatureComparison of the online store with what a training set would hold, cell by cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proml_kedro.engine.duckdb import moment_literal, parquet, quote
from proml_kedro.engine.session import connect
from proml_kedro.features.online.lookup import Array, OnlineFeatures
from proml_kedro.features.online.store import OnlineStore
from proml_kedro.features.training.join import FeatureHistory
from proml_kedro.results import FeatureComparison
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE = 1e-9
"""Relative difference of two numbers that still counts as none."""

_WORST = 3


@dataclass(frozen=True)
class FeatureSources:
    """The two ways to read stored features of a problem.

    Attributes:
        features: The problem's features.
        offline: What training reads.
        online: What serving reads.
    """

    features: FeaturesSpec
    offline: FeatureHistory
    online: OnlineStore


def check_consistency(
    sources: FeatureSources,
    columns: Mapping[str, Dtype],
    moments: Mapping[str, datetime],
    tables: Path,
    hardware: HardwareSpec,
    rows: int = 500,
    tolerance: float = TOLERANCE,
) -> list[FeatureComparison]:
    """Compare offline values as of the moment that each view was materialized for with online ones.

    Args:
        sources: Both sides.
        columns: The features to compare, as ``view.feature``.
        moments: The moment of each view. Views that are missing here are omitted.
        tables: Folder of the feature tables, from which keys are taken: the same ones every time.
        hardware: The machine.
        rows: How many keys of each view.
        tolerance: Relative difference of two numbers that counts as none.

    Raises:
        NotStoredError: The registry or the online store lacks a view.
    """
    of_view: dict[str, dict[FeatureRef, Dtype]] = {}
    for name, dtype in columns.items():
        ref = FeatureRef.parse(name)
        of_view.setdefault(ref.view, {})[ref] = dtype
    comparisons = []
    for view, moment in moments.items():
        if view in of_view:
            keys = _sample_keys(tables / f"{view}.parquet", sources.features.views[view].key, moment, rows, hardware)
            comparisons += _compare_view(sources, of_view[view], keys, moment, tolerance)
    return comparisons


def _plain(value: float) -> float | str:
    return value if np.isfinite(value) else "missing"  # JSON has no infinity


def _sample_keys(
    table: Path, keys: Sequence[str], moment: datetime, rows: int, hardware: HardwareSpec
) -> list[dict[str, Any]]:
    """Sample keys that have a row up to the moment. The choice depends on nothing but the keys."""
    names = ", ".join(map(quote, keys))
    query = (
        f"SELECT DISTINCT {names} FROM {parquet(table)} WHERE event_timestamp <= "
        f"{moment_literal(moment)} ORDER BY hash({names}), {names} LIMIT {rows}"
    )
    with connect(hardware) as session:
        return [dict(zip(keys, row, strict=True)) for row in session.rows(query)]


def _compare_view(
    sources: FeatureSources,
    columns: Mapping[FeatureRef, Dtype],
    keys: list[dict[str, Any]],
    moment: datetime,
    tolerance: float,
) -> list[FeatureComparison]:
    """Compare the features of one view."""
    as_of = moment.isoformat()
    named = {str(ref): dtype for ref, dtype in columns.items()}
    online = OnlineFeatures(sources.online, sources.features, named).read(keys, moment)
    if not keys:
        return [FeatureComparison(name, as_of, worst={}) for name in named]
    offline = join_offline(sources.offline, keys, [moment] * len(keys), list(columns))
    digests = [digest(one) for one in keys]
    return [
        compare_column(
            str(ref), as_of, to_array(offline[ref.column].to_pylist(), dtype), online[str(ref)], digests, tolerance
        )
        for ref, dtype in columns.items()
    ]


def join_offline(
    history: FeatureHistory, keys: Sequence[Mapping[str, Any]], moments: Sequence[datetime], refs: Sequence[FeatureRef]
) -> pa.Table:
    """Join features as of each row's moment, in the order of the rows.

    Args:
        history: What training reads.
        keys: n rows with the keys of the features' views. A missing key is None.
        moments: n moments, aware.
        refs: The features.

    Returns:
        A table of n rows with a column :attr:`FeatureRef.column` for each feature.

    Raises:
        NotStoredError: A view is not registered.
        RuntimeError: The join lost or doubled rows.
    """
    import pyarrow as pa

    arrow = {"int": pa.int64(), "str": pa.string()}
    types = {key: type_ for view in {one.view for one in refs} for key, type_ in history.key_types(view).items()}
    columns = {name: pa.array([row.get(name) for row in keys], arrow[types[name]]) for name in sorted(types)}
    at = pa.array([moment.astimezone(UTC) for moment in moments], pa.timestamp("us", "UTC"))
    entities = pa.table({**columns, EVENT_TIMESTAMP: at, "__row": range(len(keys))})
    joined = history.join(entities, refs).to_arrow().sort_by("__row")
    if joined.num_rows != len(keys):
        raise RuntimeError(f"the join lost or doubled rows: {len(keys)} asked for, {joined.num_rows} joined")
    return joined


def to_array(values: list[Any], dtype: Dtype) -> Array:
    """Turn plain values into what the online reader gives: float64 with NaN, objects of str with None, or vectors."""
    size = vector_size(dtype)
    if size is not None:
        nothing = [np.nan] * size
        return np.array([nothing if one is None else one for one in values], np.float64).reshape(len(values), size)
    if dtype == "str":
        return np.array(values, object)
    return np.array([np.nan if one is None else float(one) for one in values], np.float64)


def compare_column(
    name: str, as_of: str, offline: Array, online: Array, digests: Sequence[str], tolerance: float
) -> FeatureComparison:
    """Compare n values of a feature, both as :func:`to_array` has them.

    Args:
        name: ``view.feature``.
        as_of: The moment, or moments, in words.
        offline: What training reads.
        online: What serving reads.
        digests: Of each row's key.
        tolerance: Relative difference of two numbers that counts as none.
    """
    no_offline, no_online = _missing(offline), _missing(online)
    difference = _difference(offline, online)
    difference[no_offline & no_online] = 0.0
    difference[no_offline ^ no_online] = np.inf
    wrong = difference > tolerance
    order = [one for one in np.argsort(-difference, kind="stable")[:_WORST].tolist() if wrong[one]]
    return FeatureComparison(
        name,
        as_of,
        len(digests),
        int((~no_offline | ~no_online).sum()),
        int(wrong.sum()),
        int((~no_offline & no_online).sum()),
        int((no_offline & ~no_online).sum()),
        {digests[one]: _plain(float(difference[one])) for one in order},
    )


def _difference(left: Array, right: Array) -> Array:
    """Return the relative difference of numbers, the largest of a vector's; 1 for texts that differ."""
    if left.dtype == object:
        return np.array([float(a != b) for a, b in zip(left, right, strict=True)], np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative: Array = np.abs(left - right) / np.maximum(np.abs(left), np.abs(right))
    relative[left == right] = 0.0
    return relative.max(axis=1) if relative.ndim > 1 else relative


def _missing(values: Array) -> Array:
    if values.dtype == object:
        return np.array([one is None for one in values])
    return np.asarray(np.isnan(values).any(axis=1) if values.ndim > 1 else np.isnan(values))


def digest(key: Mapping[str, Any]) -> str:
    """Digest a row's key, so that two reports can be compared and nobody's key is shown."""
    return hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:12]
