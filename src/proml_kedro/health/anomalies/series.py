"""Figures of a table by period and by values of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.engine.duckdb import enclosed, explain, is_moment, moment_literal, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.health.anomalies.detector import Series
from proml_kedro.health.buckets import Periods
from proml_kedro.results.anomalies import ALL
from proml_kedro.spec.anomalies import MonitorSpec

Array = npt.NDArray[np.float64]

MOST_VALUES = 50
"""Values of a column that are looked at."""
MOST_PERIODS = 50_000


@dataclass(frozen=True)
class Figures:
    """The figures of a monitor.

    Attributes:
        names: Dimension and value of each series; that of all rows first.
        series: Their values; NaN in times that are suppressed.
        periods: The periods.
        notices: What was not looked at.
    """

    names: Sequence[tuple[str, str]]
    series: Series
    periods: Periods
    notices: Sequence[str]


def compute_figures(rows: Relation, spec: MonitorSpec, until: datetime, key: str) -> Figures:
    """Compute a figure of a table by period, of all rows and of each frequent value of the dimensions.

    A period counts once it is over: of a day that lasts, half of the rows are no drop.

    Args:
        rows: The table.
        spec: Which figure.
        until: Until when rows count.
        key: Where the monitor stands in the configuration.

    Raises:
        UserError: A column or an expression does not fit the table, or there are too many periods.
    """
    _check(rows, spec, key)
    keep_rows(rows, spec, spec.dimensions, "watched", key)
    (over,) = rows.engine.row(f"SELECT {Periods.number_sql(moment_literal(until), spec.every)}")
    first, last = rows.engine.row(f"SELECT min(period), max(period) FROM watched WHERE period < {over}")
    if first is None:
        raise UserError.at(key, f"table '{spec.table}' has no rows in a period that is over")
    if last - first >= MOST_PERIODS:
        raise UserError.at(f"{key}.every", f"makes {last - first + 1:,} periods, and {MOST_PERIODS:,} are the most")
    periods = Periods(spec.every, first, last - first + 1)
    names, blocks, notices = [(ALL, "")], [_read(rows, "''", periods, [""])], []
    for dimension in spec.dimensions:
        column = quote(f"by {dimension}")
        counts = rows.engine.rows(
            f"SELECT {column}, count(*) FROM watched WHERE period < {over} AND {column} IS NOT NULL "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        values = [str(one) for one, _ in counts[:MOST_VALUES]]
        if len(counts) > MOST_VALUES:
            notices.append(f"{dimension}: {len(counts) - MOST_VALUES:,} rarer values are not looked at")
        names += [(dimension, one) for one in values]
        blocks.append(_read(rows, column, periods, values))
    count, total, squares = (np.concatenate([block[part] for block in blocks]) for part in range(3))
    series = _series(spec, count, total, squares)
    return Figures(names, replace(series, values=_suppressed(series.values, spec, periods)), periods, notices)


def keep_rows(rows: Relation, spec: MonitorSpec, columns: Sequence[str], name: str, key: str) -> None:
    """Keep the rows that a figure is of, as a table of the session.

    It has the number of each row's ``period``, its ``value`` (null where it does not count), and ``by COLUMN`` as text.

    Args:
        rows: The table.
        spec: Which figure.
        columns: Columns to keep beside.
        name: Name of the new table.
        key: Where the monitor stands in the configuration.

    Raises:
        UserError: An expression cannot be computed.
    """
    number = Periods.number_sql(f"CAST({quote(spec.moment)} AS TIMESTAMPTZ)", spec.every)
    where = f" AND ({enclosed(spec.where)})" if spec.where else ""
    value = "CAST(1 AS DOUBLE)" if spec.expression is None else f"CAST({enclosed(spec.expression)} AS DOUBLE)"
    texts = "".join(f", CAST({quote(one)} AS VARCHAR) AS {quote(f'by {one}')}" for one in columns)
    finite = f"CASE WHEN isfinite({value}) THEN {value} END"
    query = f"SELECT {number} AS period, {finite} AS value{texts} FROM {rows} WHERE {quote(spec.moment)} IS NOT NULL"
    try:
        rows.engine.run(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}{where}")  # type: ignore[attr-defined]
    except EngineError as error:
        raise UserError.at(key, explain(error, rows.schema)) from error


def _check(rows: Relation, spec: MonitorSpec, key: str) -> None:
    wrong = [
        Mistake(f"{key}.{field}", unknown("column", name, rows.schema))
        for field, name in [("moment", spec.moment), *(("dimensions", one) for one in spec.dimensions)]
        if rows.type_of(name) is None
    ]
    if not wrong and not is_moment(rows.type_of(spec.moment) or ""):
        wrong = [Mistake(f"{key}.moment", f"'{spec.moment}' holds no moments, but {rows.type_of(spec.moment)}")]
    for field, expression in (("expression", spec.expression), ("where", spec.where)):
        if expression is not None and not wrong:
            type_, mistake = rows.check_expression(expression, f"{key}.{field}")
            wrong += [mistake] if mistake else []
            is_truth = field == "where" or spec.agg == "rate"
            if type_ and is_truth and type_ != "BOOLEAN":
                wrong.append(Mistake(f"{key}.{field}", f"is {type_}; write a condition, such as {expression} > 0"))
    if wrong:
        raise UserError(*wrong)


def _read(rows: Relation, column: str, periods: Periods, values: Sequence[str]) -> tuple[Array, Array, Array]:
    """Read count, sum and sum of squares about the mean, shape (values, periods) each."""
    found = rows.engine.rows(
        f"SELECT {column}, period, count(value), coalesce(sum(value), 0), coalesce(var_pop(value), 0) * count(value) "
        f"FROM watched WHERE period BETWEEN {periods.first} AND {periods.first + periods.count - 1} GROUP BY 1, 2"
    )
    place = {one: number for number, one in enumerate(values)}
    shape = len(values), periods.count
    parts = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for value, period, *figures in found:
        if value in place:
            for part, figure in zip(parts, figures, strict=True):
                part[place[value], period - periods.first] = figure
    return parts


def _series(spec: MonitorSpec, count: Array, total: Array, squares: Array) -> Series:
    if spec.agg in ("sum", "count"):
        return Series(total, count, np.zeros_like(count), spec.every, spec.agg)
    enough = count >= spec.min_rows
    with np.errstate(all="ignore"):
        values = np.where(enough, total / count, np.nan)
        spread = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    return Series(values, count, spread, spec.every, spec.agg)


def _suppressed(values: Array, spec: MonitorSpec, periods: Periods) -> Array:
    """Take out what is not to be judged, nor to be learned from."""
    days = [(_midnight(day), _midnight(day) + timedelta(days=1)) for day in spec.holidays]
    spans = [*days, *((_moment(one.begin), _moment(one.end)) for one in spec.suppress)]
    begins = [periods.begin(place) for place in range(periods.count)]
    out = np.array([any(begin < end and begin + spec.every > start for start, end in spans) for begin in begins], bool)
    return np.where(out, np.nan, values) if spans else values


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        return _midnight(value)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _midnight(day: Any) -> datetime:
    return datetime.combine(day, time(), UTC)
