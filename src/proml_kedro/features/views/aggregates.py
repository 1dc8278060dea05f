"""What each aggregate is made of: the value of an event, what is kept of a tick, and what a window makes of that.

Most aggregates are combined from one row a tick. Three need more:

* ``count_distinct`` is a running sum of changes: +1 where a value comes into a window, -1 where it leaves it because
  it was not seen again. All of it is sorting and adding up, which DuckDB does on disk when memory is short. Costs a row
  for each distinct value and tick, and one more for each window that it leaves.
* ``quantile`` and ``std`` are computed from the values themselves by DuckDB's window operator: the first by a
  sorted tree over a key's events, the second by combining count, mean and sum of squared differences (Chan, Golub and
  LeVeque, 1979), which loses no digits when the mean is far from 0. Costs a row for each event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from proml_kedro.engine.duckdb import cast, enclosed, microseconds, number, sql_type
from proml_kedro.spec.features import WindowFeature, window_length

FROM_EVENTS = ("quantile", "std")
"""Aggregates that are computed from a window's events rather than from its ticks."""

MEMORY_HALF_LIVES = 256
"""After as many half-lives an event is forgotten: what is left of it is less than 1e-77 of its value."""

RENEWALS_PER_HALF_LIFE = 4
RENEWED_HALF_LIVES = 10
"""A decayed sum falls when nothing happens; it is written anew this often, and for this long after an event."""

_PARTIALS = {
    "count": {"n": "count(__v{i})"},
    "sum": {"s": "fsum(__v{i})"},
    "mean": {"n": "count(__v{i})", "s": "fsum(__v{i})"},
    "min": {"m": "min(__v{i})"},
    "max": {"m": "max(__v{i})"},
    "rate": {"n": "count(__v{i})", "s": "count_if(__v{i})"},
    "last": {"l": "arg_max(__v{i}, (__known, __position))"},
}
_FINALS = {
    "count": "CAST(coalesce(sum(__n{i}) OVER {w}, 0) AS BIGINT)",
    "sum": "coalesce(fsum(__s{i}) OVER {w}, 0.0)",
    "mean": "fsum(__s{i}) OVER {w} / nullif(sum(__n{i}) OVER {w}, 0)",
    "min": "min(__m{i}) OVER {w}",
    "max": "max(__m{i}) OVER {w}",
    "rate": "CAST(sum(__s{i}) OVER {w} AS DOUBLE) / nullif(sum(__n{i}) OVER {w}, 0)",
    "last": "last_value(__l{i} IGNORE NULLS) OVER {w}",
    "quantile": "quantile_cont(__v{i}, {q}) OVER {w}",
    "std": "stddev_samp(__v{i}) OVER {w}",
    "count_distinct": "CAST(coalesce(sum(__d{i}_{w}) OVER {all}, 0) AS BIGINT)",
}


def value_type(feature: WindowFeature) -> str | None:
    """The SQL type that an event's value is given; None for an aggregate that takes values as they are."""
    if feature.agg in ("count", "count_distinct"):
        return None
    if feature.agg == "rate":
        return "BOOLEAN"
    return sql_type(feature.dtype) if feature.agg == "last" else "DOUBLE"


def value_sql(feature: WindowFeature) -> str:
    """What one event gives to an aggregate, in SQL; null when it takes no part."""
    value = enclosed(feature.expression) if feature.expression else "1"
    type_ = value_type(feature)
    if type_ == "DOUBLE":
        value = number(feature.expression or "1", "float")
    elif feature.agg == "last":
        value = cast(value, feature.dtype)
    elif type_:
        value = f"CAST({value} AS {type_})"
    if feature.agg in ("std", "decay"):
        # One infinite value would leave nothing but not-a-number behind, or stop the query.
        value = f"CASE WHEN isfinite({value}) THEN {value} END"
    return f"CASE WHEN {enclosed(feature.filter)} THEN {value} END" if feature.filter else value


def floor_sql(value: str, step: int) -> str:
    """The largest multiple of a step that is not above an integer. ``%`` alone rounds towards 0, not down."""
    return f"({value} - (({value} % {step}) + {step}) % {step})"


def partials_sql(i: int, feature: WindowFeature) -> Iterator[str]:
    """The columns that are kept of a tick's events for the feature of number ``i``."""
    if feature.agg == "decay":
        yield from _decay_partials(i, feature)
    for name, sql in _PARTIALS.get(feature.agg, {}).items():
        yield f"{sql.format(i=i)} AS __{name}{i}"


def final_sql(i: int, feature: WindowFeature, frame: str, all_frame: str) -> str:
    """A feature's value at a tick, from the rows in a frame.

    Args:
        i: The feature's number.
        feature: The feature.
        frame: Name of the window's frame.
        all_frame: Name of the frame that reaches back to the beginning.
    """
    if feature.agg == "decay":
        return _decay_final(i, feature, frame)
    return _FINALS[feature.agg].format(i=i, w=frame, q=feature.q, all=all_frame)


# A decayed sum at tick g is the sum of v * 2^((known - g) / half_life). Written as 2^(-g / half_life) times a sum of
# v * 2^(known / half_life), a window can add it up, but the factors are beyond any number after a thousand half-lives.
# So time is cut into blocks, each with its own origin at its end. A frame as long as a block touches two blocks, one of
# them even and the other odd: two sums are enough, and each factor lies between 2^-512 and 2^256.


def reach(feature: WindowFeature, window: str) -> timedelta | None:
    """How far back a window's frame goes; None when to the beginning."""
    length = window_length(window)
    if feature.half_life is None:
        return length
    memory = MEMORY_HALF_LIVES * feature.half_life
    return memory if length is None else min(length, memory)


def _decay_partials(i: int, feature: WindowFeature) -> Iterator[str]:
    half_life, block = _decay_units(feature)
    start = floor_sql("__tick", block)
    value = f"fsum(__v{i} * pow(2.0, (__known - {start} - {block}) / {half_life}))"
    for parity in (0, 1):
        yield f"{value} FILTER (({start} // {block}) & 1 = {parity}) AS __p{parity}_{i}"


def _decay_final(i: int, feature: WindowFeature, frame: str) -> str:
    half_life, block = _decay_units(feature)
    start = floor_sql("__tick", block)
    terms = (
        # The tick's own block ends after it, the one before at its start.
        f"coalesce(fsum(__p{parity}_{i}) OVER {frame}, 0.0) * pow(2.0, ({start} - __tick"
        f" + CASE WHEN ({start} // {block}) & 1 = {parity} THEN {block} ELSE 0 END) / {half_life})"
        for parity in (0, 1)
    )
    return " + ".join(terms)


def _decay_units(feature: WindowFeature) -> tuple[int, int]:
    """The half-life and the length of a block, in microseconds."""
    assert feature.half_life is not None  # noqa: S101 - for the type checker: the spec has checked it
    half_life = microseconds(feature.half_life)
    return half_life, MEMORY_HALF_LIVES * half_life


def renewals(features: Iterable[WindowFeature], hop: timedelta) -> dict[timedelta, int]:
    """How decayed sums are written anew after an event: step → how many of them."""
    result: dict[timedelta, int] = {}
    for half_life in dict.fromkeys(one.half_life for one in features if one.half_life is not None):
        step = -(-half_life // (RENEWALS_PER_HALF_LIFE * hop)) * hop
        result[step] = max(result.get(step, 0), -(-RENEWED_HALF_LIVES * half_life // step))
    return result


def distinct_sql(i: int, frames: Sequence[tuple[str, timedelta | None]], by: str) -> str:
    """CTEs whose last, ``changes{i}``, says by how much the number of distinct values changes at a tick.

    Args:
        i: The feature's number.
        frames: Name and length of each window's frame.
        by: The key columns.

    Returns:
        CTEs that read ``events`` and have the keys, ``__tick`` and for each window an integer ``__d{i}_{frame}``.
    """
    names = [name for name, _ in frames]
    # A value that is seen again while it still is in a window changes nothing there.
    news = {name: "(__last IS NULL)" for name, _ in frames}
    news |= {one: f"(__last IS NULL OR __last + {microseconds(length)} < __tick)" for one, length in frames if length}
    parts = [f"SELECT {by}, __tick, {', '.join(f'{sql}::TINYINT AS {one}' for one, sql in news.items())} FROM seen{i}"]
    for name, length in frames:
        if length:
            gone = f"__tick + {microseconds(length)}"
            changes = ", ".join(f"{-1 if one == name else 0}::TINYINT AS {one}" for one in names)
            alone = f"__next IS NULL OR {gone} < __next"
            parts.append(f"SELECT {by}, {gone} AS __tick, {changes} FROM seen{i} WHERE {alone}")
    sums = ", ".join(f"sum({name}) AS __d{i}_{name}" for name in names)
    return f"""
seen{i} AS (SELECT {by}, __tick, lag(__tick) OVER same AS __last, lead(__tick) OVER same AS __next
    FROM (SELECT DISTINCT {by}, __tick, __v{i} AS __value FROM events WHERE __v{i} IS NOT NULL)
    WINDOW same AS (PARTITION BY {by}, __value ORDER BY __tick)),
changes{i} AS (SELECT {by}, __tick, {sums} FROM ({" UNION ALL ".join(parts)}) GROUP BY {by}, __tick)"""
