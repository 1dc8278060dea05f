"""Logged requests beside what training would have read at their moments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.errors import Mistake, UserError, did_you_mean
from proml_kedro.features.online.consistency import compare_column, digest, join_offline, to_array
from proml_kedro.features.training.join import FeatureHistory
from proml_kedro.results import FeatureComparison
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec, zero_when_empty


@dataclass(frozen=True)
class LoggedRow:
    """Row of a request log: one that was scored.

    Attributes:
        as_of: The moment for which its features were read.
        keys: Its entity keys.
        features: The features that were looked up.
    """

    as_of: datetime
    keys: Mapping[str, Any]
    features: Mapping[str, Any]


def read_log(file: Path, last: int) -> list[LoggedRow]:
    """Read the last rows of a request log.

    Args:
        file: As :mod:`proml_kedro.serving.request_log` writes it.
        last: How many rows at most.

    Raises:
        UserError: A line does not belong into such a log.
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
            rows.append(LoggedRow(moment, dict(one["keys"]), dict(one["features"])))
        except (ValueError, KeyError, TypeError):
            mistakes.append(Mistake("", "no line of a request log", f"{file.name}:{number}"))
    if mistakes:
        raise UserError(*mistakes)
    return rows


def compare_log(
    history: FeatureHistory, features: FeaturesSpec, rows: Sequence[LoggedRow], tolerance: float
) -> list[FeatureComparison]:
    """Compare what was looked up with what a training set would hold for the same keys and moments.

    Args:
        history: What training reads.
        features: The problem's features.
        rows: What was logged.
        tolerance: Relative difference of two numbers that counts as none.

    Raises:
        UserError: A logged feature is not declared any more.
        NotStoredError: A view is not registered.
    """
    if not rows:
        return []
    dtypes = features.columns()
    names = list(dict.fromkeys(name for row in rows for name in row.features))
    gone = [name for name in names if name not in dtypes]
    if gone:
        hint = did_you_mean(gone[0], dtypes)
        raise UserError(Mistake("", f"the log has the feature '{gone[0]}', which is not declared.{hint}"))
    offline = _read_offline(history, features, rows, [FeatureRef.parse(name) for name in names])
    digests = [digest(row.keys) for row in rows]
    span = f"{min(row.as_of for row in rows).isoformat()} to {max(row.as_of for row in rows).isoformat()}"
    comparisons = []
    for name in names:
        there = [position for position, row in enumerate(rows) if name in row.features]
        online = to_array([rows[one].features[name] for one in there], dtypes[name])
        known = [digests[one] for one in there]
        comparisons.append(compare_column(name, span, offline[name][there], online, known, tolerance))
    return comparisons


def _read_offline(
    history: FeatureHistory, features: FeaturesSpec, rows: Sequence[LoggedRow], refs: Sequence[FeatureRef]
) -> dict[str, Any]:
    """Read each feature as of each row's moment, as :func:`to_array` has it."""
    table = join_offline(history, [row.keys for row in rows], [row.as_of for row in rows], refs)
    dtypes = features.columns()
    found = {}
    zeros = {name: zero_when_empty(view) for name, view in features.views.items()}
    for ref in refs:
        view = features.views[ref.view]
        values = to_array(table[ref.column].to_pylist(), dtypes[str(ref)])
        if ref.feature in zeros[ref.view]:
            values[_have_keys(rows, view.key) & np.isnan(values)] = 0
        found[str(ref)] = values
    return found


def _have_keys(rows: Sequence[LoggedRow], keys: Sequence[str]) -> Any:
    """Return whether each row has all of these keys, shape (n,)."""
    return np.array([all(row.keys.get(key) is not None for key in keys) for row in rows])
