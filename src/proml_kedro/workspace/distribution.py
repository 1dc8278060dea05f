"""A sketch of how a feature's values are distributed, and which other features go along with it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.features.tables.stored import Tables
from proml_kedro.marketplace.entry import Entry
from proml_kedro.results import Places
from proml_kedro.results.names import examples_file
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.workspace.snapshot import feature_table

BINS = 32
_MOST_CATEGORIES = 12
_SAMPLED_ROWS = 50_000
_MOST_COLUMNS = 500
_LEAST_PAIRS = 30
_NUMBER = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT|FLOAT|DOUBLE|DECIMAL.*")
_WHOLE = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT")
_VECTOR = re.compile(r"(FLOAT|DOUBLE)\[\d*\]")
_TAIL = 0.005

Kind = Literal["numbers", "lengths", "categories", "other"]


@dataclass(frozen=True)
class Bar:
    """One bar of a sketch: numbers from ``low`` up to ``high``, or a category."""

    count: int
    low: float | None = None
    high: float | None = None
    value: str | None = None


@dataclass(frozen=True)
class Distribution:
    """How values are distributed.

    Attributes:
        kind: ``lengths`` for vectors, of which the Euclidean length is shown; ``other`` for types that are not drawn.
        place: Which rows were looked at.
        rows: How many they are.
        nulls: How many of them have no value.
        bars: Of numbers in ascending order, the outermost with all that lies beyond; of categories the most frequent.
        rest: Rows with another category.
        distinct: How many categories there are.
        figures: Smallest, quartiles, largest, mean and standard deviation of numbers.
    """

    kind: Kind
    place: str
    rows: int
    nulls: int
    bars: tuple[Bar, ...] = ()
    rest: int = 0
    distinct: int = 0
    figures: dict[str, float] | None = None


@dataclass(frozen=True)
class Column:
    """Where a feature's values are.

    Attributes:
        file: A Parquet file. Results never change, so what is found in one stays true.
        name: Of the column in it.
        place: The same in words.
    """

    file: Path
    name: str
    place: str


def find_column(entry: Entry, places: Places) -> Column | None:
    """Find the values of a feature: as models learned from them if any did, otherwise as its view's table has them.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not what it should be.
    """
    import pyarrow.parquet as pq

    sets = {model: examples_file(folder) for (_, model), folder in places.find("training_set", entry.problem).items()}
    there = {model: file for model, file in sets.items() if file.is_file()}
    for model, file in sorted(there.items(), key=lambda one: _modified(one[1]), reverse=True):
        if entry.name in pq.read_schema(file).names:
            return Column(file.resolve(), entry.name, f"training set of {model}")
    table, name = feature_table(places, entry), FeatureRef.parse(entry.name).feature
    if table.is_file() and name in pq.read_schema(table).names:
        return Column(table.resolve(), name, f"feature table {entry.view}")
    return None


def _modified(file: Path) -> float:
    return file.stat().st_mtime


def sketch(column: Column, hardware: HardwareSpec) -> Distribution:
    """Compute the distribution of a column.

    Args:
        column: Where its values are.
        hardware: The machine.
    """
    with connect(hardware) as session:
        relation = Tables(session, column.file.parent).relation(column.file.stem)
        type_ = relation.schema[column.name]
        rows, present = session.row(f"SELECT count(*), count({quote(column.name)}) FROM {relation}")
        nulls = int(rows - present)
        if _NUMBER.fullmatch(type_):
            values = relation.select(f"CAST({quote(column.name)} AS DOUBLE) AS value")
            known = Distribution("numbers", column.place, rows, nulls)
            return _of_numbers(values, known, whole=bool(_WHOLE.fullmatch(type_)))
        if _VECTOR.fullmatch(type_):
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
    bars = tuple(Bar(counts.get(one, 0), edges[one], edges[one + 1]) for one in range(len(edges) - 1))
    kept = {name: value for name, value in figures.items() if name not in ("low", "high")}
    return replace(known, bars=bars, figures=kept)


def _counts(relation: Relation, edges: list[float]) -> dict[int, int]:
    """How many values are between each pair of edges, which are equally far apart; the first and last have the rest."""
    low, width = edges[0], edges[1] - edges[0]
    return dict(
        relation.engine.rows(
            f"SELECT least(greatest(floor((value - {low!r}) / {width!r}), 0), {len(edges) - 2})::INTEGER AS bar, "
            f"count(*) FROM {relation} GROUP BY bar"
        )
    )


def _edges(figures: dict[str, float], whole: bool) -> list[float]:
    """Where bars begin and end: one for each whole number when they are few, otherwise as many as there is room for."""
    low, high = figures["min"], figures["max"]
    if whole and high - low < BINS:
        return [low - 0.5 + step for step in range(int(high - low) + 2)]
    if figures["high"] > figures["low"]:  # so that a single far value does not press all others into one bar
        low, high = figures["low"], figures["high"]
    width = (high - low) / BINS
    if not low < low + width < math.inf:  # all the same, or too near or too far apart to tell bars apart
        return [low - 0.5, max(high, low + 0.5)]
    return [low + step * width for step in range(BINS + 1)]


def _of_categories(relation: Relation, column: Column, rows: int, nulls: int) -> Distribution:
    name = quote(column.name)
    found = relation.engine.rows(
        f"SELECT CAST({name} AS VARCHAR) AS value, count(*) AS rows FROM {relation} WHERE {name} IS NOT NULL "
        f"GROUP BY value ORDER BY rows DESC, value LIMIT {_MOST_CATEGORIES}"
    )
    (distinct,) = relation.engine.row(f"SELECT count(DISTINCT {name}) FROM {relation}")
    bars = tuple(Bar(count, value=value) for value, count in found)
    rest = rows - nulls - sum(one.count for one in bars)
    return Distribution("categories", column.place, rows, nulls, bars, rest, int(distinct))


def correlations(column: Column, hardware: HardwareSpec, least: float = 0.9) -> dict[str, float]:
    """Find features whose numbers go along with these, in the same training set, by Pearson's correlation.

    Args:
        column: A column of a training set.
        hardware: The machine.
        least: The least correlation, either way.

    Returns:
        Name of the feature → correlation, over at most 50,000 rows.
    """
    if "." not in column.name:
        return {}
    with connect(hardware) as session:
        relation = Tables(session, column.file.parent).relation(column.file.stem)
        types = {name: type_ for name, type_ in relation.schema.items() if "." in name}
        numbers = [name for name, type_ in types.items() if _NUMBER.fullmatch(type_)]
        if column.name not in numbers:
            return {}
        others = [one for one in numbers if one != column.name][:_MOST_COLUMNS]
        return dict(_correlated(relation, column.name, others, least)) if others else {}


def _correlated(relation: Relation, name: str, others: list[str], least: float) -> Iterator[tuple[str, float]]:
    chosen = ", ".join(f"CAST({quote(one)} AS DOUBLE) AS {quote(one)}" for one in (name, *others))
    sample = f"(SELECT {chosen} FROM {relation} USING SAMPLE reservoir({_SAMPLED_ROWS} ROWS) REPEATABLE (1))"
    pairs = ", ".join(
        f"regr_count({quote(name)}, {quote(one)}), regr_r2({quote(name)}, {quote(one)}), "
        f"covar_pop({quote(name)}, {quote(one)})"
        for one in others
    )
    found = relation.engine.row(f"SELECT {pairs} FROM {sample}")
    for position, one in enumerate(others):
        count, squared, covariance = found[3 * position : 3 * position + 3]
        if count < _LEAST_PAIRS or squared is None or covariance is None or math.isnan(squared):
            continue
        correlation = math.copysign(math.sqrt(min(squared, 1.0)), covariance)
        if covariance and abs(correlation) >= least:
            yield one, correlation
