"""Whether the online store gives what a training set would hold, cell by cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proml_kedro.engine.duckdb import moment_literal, parquet, quote
from proml_kedro.engine.session import connect
from proml_kedro.features.online.lookup import Array, OnlineFeatures
from proml_kedro.features.online.open import rows_at
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec

if TYPE_CHECKING:
    from feast import FeatureStore

TOLERANCE = 1e-9
"""Relative difference of two numbers that still counts as none."""

_WORST = 3


@dataclass(frozen=True)
class Comparison:
    """How a feature compares.

    Attributes:
        feature: ``view.feature``.
        as_of: The moment, in ISO format.
        cells: How many keys were looked at.
        present: For how many of them at least one side has a value.
        mismatches: How many of them differ.
        only_offline: How many of these have a value in the feature table but none online.
        only_online: The reverse.
        worst: Digest of a key → relative difference, infinite when one side has nothing; the largest ones. A digest
            lets two reports be compared, and shows nobody's key or value.
    """

    feature: str
    as_of: str
    cells: int
    present: int
    mismatches: int
    only_offline: int
    only_online: int
    worst: dict[str, float]


def check_consistency(
    store: FeatureStore,
    features: FeaturesSpec,
    columns: Mapping[str, Dtype],
    moments: Mapping[str, datetime],
    tables: Path,
    hardware: HardwareSpec,
    rows: int = 500,
    tolerance: float = TOLERANCE,
) -> list[Comparison]:
    """Compare offline values as of the moment that each view was materialized for with online ones.

    Args:
        store: The repository.
        features: The problem's features.
        columns: Which of them, as ``view.feature``.
        moments: The moment of each view; views that are missing here are left out.
        tables: Folder of the feature tables, from which keys are taken; the same ones every time.
        hardware: The machine.
        rows: How many keys of each view.
        tolerance: Relative difference of two numbers that counts as none.
    """
    comparisons = []
    for view, moment in moments.items():
        own = {name: dtype for name, dtype in columns.items() if name.partition(".")[0] == view}
        if own:
            keys = _some_keys(tables / f"{view}.parquet", features.views[view].key, moment, rows, hardware)
            comparisons += _compare_view(store, features, own, keys, moment, tolerance)
    return comparisons


def as_result(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The comparisons with their sum, as plain values for JSON."""
    return {
        "features": len(comparisons),
        "cells": sum(one.cells for one in comparisons),
        "present": sum(one.present for one in comparisons),
        "mismatches": sum(one.mismatches for one in comparisons),
        "comparisons": [
            {**asdict(one), "worst": {key: _plain(value) for key, value in one.worst.items()}} for one in comparisons
        ],
    }


def _plain(value: float) -> float | str:
    return value if np.isfinite(value) else "missing"  # JSON has no infinity


def _some_keys(
    table: Path, keys: Sequence[str], moment: datetime, rows: int, hardware: HardwareSpec
) -> list[dict[str, Any]]:
    """Keys that have a row up to the moment; which ones depends on nothing but the keys."""
    names = ", ".join(map(quote, keys))
    query = (
        f"SELECT DISTINCT {names} FROM {parquet(table)} WHERE event_timestamp <= "
        f"{moment_literal(moment)} ORDER BY hash({names}), {names} LIMIT {rows}"
    )
    with connect(hardware) as session:
        return [dict(zip(keys, row, strict=True)) for row in session.rows(query)]


def _compare_view(
    store: FeatureStore,
    features: FeaturesSpec,
    columns: Mapping[str, Dtype],
    keys: list[dict[str, Any]],
    moment: datetime,
    tolerance: float,
) -> list[Comparison]:
    import pandas as pd

    rows = rows_at(store.config.online_store.path, store.project)
    online = OnlineFeatures(rows, features, columns).read(keys, moment)
    if not keys:
        return [Comparison(name, moment.isoformat(), 0, 0, 0, 0, 0, {}) for name in columns]
    frame = pd.DataFrame(keys).assign(event_timestamp=pd.Timestamp(moment), __row=range(len(keys)))
    refs = [name.replace(".", ":", 1) for name in columns]
    offline = store.get_historical_features(frame, refs, full_feature_names=True).to_arrow().sort_by("__row")
    if offline.num_rows != len(keys):
        raise RuntimeError(f"the join lost or doubled rows: {len(keys)} keys, {offline.num_rows} rows")
    digests = [digest(one) for one in keys]
    return [
        compare_column(
            name,
            moment.isoformat(),
            to_array(offline[name.replace(".", "__", 1)].to_pylist(), dtype),
            online[name],
            digests,
            tolerance,
        )
        for name, dtype in columns.items()
    ]


def to_array(values: list[Any], dtype: Dtype) -> Array:
    """Plain values as the online reader gives them: float64 with NaN, objects of str with None, or vectors."""
    size = vector_size(dtype)
    if size is not None:
        nothing = [np.nan] * size
        return np.array([nothing if one is None else one for one in values], np.float64).reshape(len(values), size)
    if dtype == "str":
        return np.array(values, object)
    return np.array([np.nan if one is None else float(one) for one in values], np.float64)


def compare_column(
    name: str, as_of: str, offline: Array, online: Array, digests: Sequence[str], tolerance: float
) -> Comparison:
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
    return Comparison(
        name,
        as_of,
        len(digests),
        int((~no_offline | ~no_online).sum()),
        int(wrong.sum()),
        int((~no_offline & no_online).sum()),
        int((no_offline & ~no_online).sum()),
        {digests[one]: float(difference[one]) for one in order},
    )


def _difference(left: Array, right: Array) -> Array:
    """Relative difference of numbers, the largest of a vector's; of text 1 where it differs."""
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
    """Of a row's key, so that two reports can be compared and nobody's key is shown."""
    return hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:12]
