"""What a model was asked with, from period to period: values that are missing, and drift from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proml_kedro.bundle import Manifest
from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.health.drift import check_drift
from proml_kedro.health.profile import is_score
from proml_kedro.health.read_current import columns_of
from proml_kedro.health.reference import Reference
from proml_kedro.models.component import Input
from proml_kedro.results.drift import DriftResult

MOST_ROWS = 20_000
"""Rows of a period that drift is judged by."""

LATENCIES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""Shares of requests that took at most so long."""

_PREFIX = "features."
_COLUMNS_AT_ONCE = 500


def missing_shares(scored: Relation, periods: int) -> dict[str, tuple[float | None, ...]]:
    """Compute the share of rows without a value, by feature and period; None for a period without rows.

    Args:
        scored: Rows of a log, with ``period``.
        periods: How many there are.
    """
    features = [name for name in scored.schema if name.startswith(_PREFIX)]
    found: dict[str, tuple[float | None, ...]] = {}
    for first in range(0, len(features), _COLUMNS_AT_ONCE):
        part = features[first : first + _COLUMNS_AT_ONCE]
        counted = ", ".join(f"count(*) FILTER ({_is_missing(name, scored)}) / count(*)" for name in part)
        rows = scored.engine.rows(f"SELECT period, {counted} FROM {scored} GROUP BY period")
        by_period = {int(period): shares for period, *shares in rows}
        for position, name in enumerate(part):
            shares = tuple(by_period[one][position] if one in by_period else None for one in range(periods))
            found[name.removeprefix(_PREFIX)] = shares
    return found


def latencies(rows: Relation) -> dict[int, dict[str, float]]:
    """Compute how long requests took, by period; periods of which the log does not hold it are left out.

    A request counts once, however many rows it has. Requests that nobody got the answer of are not counted.

    Args:
        rows: Rows of a log, with ``period``.
    """
    if rows.type_of("seconds") is None:
        return {}
    answered = " AND answered" if rows.type_of("answered") is not None else ""
    once = (
        f"SELECT period, max(seconds) AS took FROM {rows} WHERE seconds IS NOT NULL{answered} "
        "GROUP BY period, request_id, received_at"
    )
    shares = ", ".join(f"quantile_cont(took, {share})" for share in LATENCIES.values())
    found = rows.engine.rows(f"SELECT period, {shares} FROM ({once}) GROUP BY period")
    return {int(period): dict(zip(LATENCIES, map(float, seconds), strict=True)) for period, *seconds in found}


def _is_missing(name: str, rows: Relation) -> str:
    column = quote(name)
    is_list = rows.schema[name].endswith("[]")  # of a vector that is missing each element is
    return f"{column} IS NULL OR list_count({column}) < len({column})" if is_list else f"{column} IS NULL"


def reference_shares(reference: Reference) -> Mapping[str, float]:
    """Return the share of rows without a value in the reference, by feature."""
    known = reference.profile.columns
    return {name: one.nulls / max(one.rows, 1) for name, one in known.items() if not is_score(name)}


def drift_of(rows: Relation, manifest: Manifest, reference: Reference) -> DriftResult:
    """Compare what a model was asked with, and what it said, with its reference.

    Args:
        rows: Scored rows of a log.
        manifest: Of the model.
        reference: Of the model.
    """
    inputs = [one for one in reference.columns if not (is_score(one.name) and manifest.classes)]
    names = {one.name: one.name if is_score(one.name) else f"{_PREFIX}{one.name}" for one in inputs}
    there = [f"{quote(logged)} AS {quote(name)}" for name, logged in names.items() if rows.type_of(logged) is not None]
    asked = rows.select(", ".join(there) or "1 AS nothing")
    (total,) = rows.engine.row(f"SELECT count(*) FROM {asked}")
    found = columns_of(asked, inputs, manifest.features, MOST_ROWS if total > MOST_ROWS else None)
    return check_drift(reference.profile, found, _logged(inputs, rows), reference.gate, reference.movements)


def _logged(inputs: Sequence[Input], rows: Relation) -> list[Input]:
    """Inputs, without those that a log never holds."""
    return [one for one in inputs if is_score(one.name) or rows.type_of(f"{_PREFIX}{one.name}") is not None]
