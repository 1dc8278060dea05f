"""What answers say: scores of rows, candidates in order, features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proml_kedro.bundle import Manifest
from proml_kedro.features.online.lookup import Found
from proml_kedro.models.component import Array, Explanation
from proml_kedro.serving.schema import Row, answer
from proml_kedro.serving.scorer import Scored
from proml_kedro.spec.dtype import Dtype

_TYPES: Mapping[Dtype, type] = {"int": int, "bool": bool}
"""Of features whose columns are float64, since they may be missing."""


def scores(manifest: Manifest, rows: Sequence[Row], found: Scored) -> dict[str, Any]:
    """Say the scores of rows that had their features with them."""
    return {**answer(manifest, found.scores), "missing": found.missing, "model": manifest.tag}


def online_scores(manifest: Manifest, rows: Sequence[Row], found: Scored) -> dict[str, Any]:
    """Say the scores of rows whose features were looked up."""
    return {**scores(manifest, rows, found), "expired": found.expired}


def ranked(manifest: Manifest, rows: Sequence[Row], found: Scored) -> dict[str, Any]:
    """Say which candidates are shown, the best first."""
    places = found.places or []
    shown = sorted((place, number) for number, place in enumerate(places) if place)
    keys = manifest.rows.entities
    items = [
        {
            "candidate": number,
            "place": place,
            "score": found.scores[number],
            "missing": found.missing[number],
            "expired": found.expired[number],
            **{name: rows[number][name] for name in keys},
        }
        for place, number in shown
    ]
    return {"items": items, "model": manifest.tag}


def features(manifest: Manifest, found: Found, rows: int) -> dict[str, Any]:
    """Say the features of rows that were looked up, in the types that ``/predict`` takes; null for a missing one."""
    kinds = {one.name: _TYPES.get(one.dtype, float) for one in manifest.rows.inputs}
    columns = {name: _plain(column, kinds[name]) for name, column in found.columns.items()}
    return {
        "features": [{name: values[row] for name, values in columns.items()} for row in range(rows)],
        "expired": found.expired.tolist(),
        "unknown": found.unknown.tolist(),
    }


def explanations(manifest: Manifest, found: Explanation) -> dict[str, Any]:
    """Say what each input adds to the margin of each row."""
    columns = {name: one.tolist() for name, one in found.contributions.items()}
    rows = [
        {
            "base": base,
            "contributions": {name: one[row] for name, one in columns.items()},
            "margin": base + sum(one[row] for one in columns.values()),
        }
        for row, base in enumerate(found.base.tolist())
    ]
    return {"explanations": rows, "model": manifest.tag}


def _plain(column: Array, kind: type) -> list[Any]:
    if column.ndim > 1:
        return [None if any(one != one for one in vector) else vector for vector in column.tolist()]
    if column.dtype == object:  # of text
        kind = str
    return [None if one is None or one != one else kind(one) for one in column.tolist()]
