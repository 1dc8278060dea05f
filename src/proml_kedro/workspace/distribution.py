"""A sketch of how a feature's values are distributed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.features.tables.stored import Tables
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.workspace.columns import FeatureColumn, is_number, is_vector, is_whole

BINS = 32
_MOST_CATEGORIES = 12
_TAIL = 0.005

Kind = Literal["numbers", "lengths", "categories", "other"]


@dataclass(frozen=True)
class HistogramBar:
    """HistogramBar of a sketch: numbers from ``low`` up to ``high``, or a category."""

    count: int
    low: float | None = None
    high: float | None = None
    value: str | None = None


@dataclass(frozen=True)
class Distribution:
    """Distribution of a feature's values.

    Attributes:
        kind: ``lengths`` for vectors, of which the Euclidean length is shown; ``other`` for types that are not drawn.
        place: The rows that were read, in words.
        rows: How many they are.
        nulls: How many of them have no value.
        bars: Of numbers in ascending order, the outermost with everything beyond; of categories the most frequent.
        rest: Rows with another category.
        distinct: How many categories there are.
        figures: Smallest, quartiles, largest, mean and standard deviation of numbers.
    """

    kind: Kind
    place: str
    rows: int
    nulls: int
    bars: tuple[HistogramBar, ...] = ()
    rest: int = 0
    distinct: int = 0
    figures: dict[str, float] | None = None


def sketch(column: FeatureColumn, hardware: HardwareSpec) -> Distribution:
    """Sketch the distribution of a column.

    Args:
        column: Where its values are.
        hardware: The machine.
    """
    with connect(hardware) as session:
        relation = Tables(session, column.file.parent).relation(column.file.stem)
        type_ = relation.schema[column.name]
        rows, present = session.row(f"SELECT count(*), count({quote(column.name)}) FROM {relation}")
        nulls = int(rows - present)
        if is_number(type_):
            values = relation.select(f"CAST({quote(column.name)} AS DOUBLE) AS value")
            known = Distribution("numbers", column.place, rows, nulls)
            return _of_numbers(values, known, whole=is_whole(type_))
        if is_vector(type_):
            vector = f"CAST({quote(column.name)} AS DOUBLE[])"
            values = relation.select(f"sqrt(list_sum(list_transform({vector}, lambda x: x * x))) AS value")
            return _of_numbers(values, Distribution("lengths", column.place, rows, nulls), whole=False)
        if type_ in ("VARCHAR", "BOOLEAN"):
            return _of_categories(relation, column, rows, nulls)
    return Distribution("other", column.place, rows, nulls)


def _of_numbers(values: Relation, known: Distribution, whole: bool) -> Distribution:
    finite = values.select("value", where="isfinite(value)")
    names = ("min", "low", "q25", "median", "q75", "high", "max", "mean", "std")
    shares = f"[0, {_TAIL}, 0.25, 0.5, 0.75, {1 - _TAIL}, 1]"
    # favg: the same mean on every run, in whatever order threads read.
    quantiles, *moments, count = finite.engine.row(
        f"SELECT quantile_cont(value, {shares}), favg(value), stddev_samp(value), count(value) FROM {finite}"
    )
    if not count:
        return known
    found = zip(names, (*quantiles, *moments), strict=True)
    figures = {name: float(value) for name, value in found if value is not None}
    edges = _edges(figures, whole)
    counts = {0: count} if len(edges) == 2 else _counts(finite, edges)
    bars = tuple(HistogramBar(counts.get(one, 0), edges[one], edges[one + 1]) for one in range(len(edges) - 1))
    kept = {name: value for name, value in figures.items() if name not in ("low", "high")}
    return replace(known, bars=bars, figures=kept)


def _counts(relation: Relation, edges: list[float]) -> dict[int, int]:
    """Count the values between each pair of edges of equal distance. The first and last count what lies beyond."""
    low, width = edges[0], edges[1] - edges[0]
    return dict(
        relation.engine.rows(
            f"SELECT least(greatest(floor((value - {low!r}) / {width!r}), 0), {len(edges) - 2})::INTEGER AS bar, "
            f"count(*) FROM {relation} GROUP BY bar"
        )
    )


def _edges(figures: dict[str, float], whole: bool) -> list[float]:
    """Return where bars begin and end: one for each of a few whole numbers, otherwise :data:`BINS` of equal width."""
    low, high = figures["min"], figures["max"]
    if whole and high - low < BINS:
        return [low - 0.5 + step for step in range(int(high - low) + 2)]
    if figures["high"] > figures["low"]:  # so that a single far value does not press all others into one bar
        low, high = figures["low"], figures["high"]
    width = (high - low) / BINS
    if not low < low + width < math.inf:  # all the same, or too near or too far apart to tell bars apart
        return [low - 0.5, max(high, low + 0.5)]
    return [low + step * width for step in range(BINS + 1)]


def _of_categories(relation: Relation, column: FeatureColumn, rows: int, nulls: int) -> Distribution:
    name = quote(column.name)
    found = relation.engine.rows(
        f"SELECT CAST({name} AS VARCHAR) AS value, count(*) AS rows FROM {relation} WHERE {name} IS NOT NULL "
        f"GROUP BY value ORDER BY rows DESC, value LIMIT {_MOST_CATEGORIES}"
    )
    (distinct,) = relation.engine.row(f"SELECT count(DISTINCT {name}) FROM {relation}")
    bars = tuple(HistogramBar(count, value=value) for value, count in found)
    rest = rows - nulls - sum(one.count for one in bars)
    return Distribution("categories", column.place, rows, nulls, bars, rest, int(distinct))
