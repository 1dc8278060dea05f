"""Every construct that the suite of engines proves, as docs/reference/engines.md lists them."""

from __future__ import annotations

from typing import Any

AGGREGATES: dict[str, dict[str, Any]] = {
    "count": {"agg": "count"},
    "count of values": {"agg": "count", "expression": "x"},
    "count with a filter": {"agg": "count", "filter": "x > 0 and not coalesce(b, false)"},
    "sum": {"agg": "sum", "expression": "x"},
    "sum of a ratio": {"agg": "sum", "expression": "x / nullif(n, 0)"},
    "sum of whole numbers": {"agg": "sum", "expression": "n * 3 - 1"},
    "mean": {"agg": "mean", "expression": "x"},
    "mean with a filter": {"agg": "mean", "expression": "x", "filter": "s <> 'a'"},
    "mean of whole numbers": {"agg": "mean", "expression": "n"},
    "mean of a case": {"agg": "mean", "expression": "case when b then x else 0.5 end"},
    "min": {"agg": "min", "expression": "x"},
    "max": {"agg": "max", "expression": "abs(x) - 1"},
    "max of a quoted column": {"agg": "max", "expression": '"My Column" * 2'},
    "rate": {"agg": "rate", "expression": "b"},
    "rate of a condition": {
        "agg": "rate",
        "expression": "n between -100 and 100 or s in ('a', '日本')",
        "filter": "n is not null",
    },
    "last text": {"agg": "last", "expression": "s", "dtype": "str"},
    "last number": {"agg": "last", "expression": "x", "dtype": "float"},
    "last whole number": {"agg": "last", "expression": "n % 7", "dtype": "int"},
    "last truth value with a filter": {"agg": "last", "expression": "n > 0", "dtype": "bool", "filter": "b"},
    "count_distinct of text": {"agg": "count_distinct", "expression": "s"},
    "count_distinct of numbers": {"agg": "count_distinct", "expression": "x"},
    "count_distinct of whole numbers": {"agg": "count_distinct", "expression": "n % 3"},
}
"""Windowed features."""

COLUMNS: dict[str, dict[str, Any]] = {
    "number": {"dtype": "float", "expression": "x"},
    "whole number": {"dtype": "int", "expression": "n"},
    "text": {"dtype": "str", "expression": "s"},
    "truth value": {"dtype": "bool", "expression": "b"},
    "quotient": {"dtype": "float", "expression": "x / 3"},
    "text of a whole number": {"dtype": "str", "expression": "CAST(n AS VARCHAR) || s"},
    "case": {"dtype": "int", "expression": "case when n > 0 then 1 when n < 0 then -1 else 0 end"},
    "comparison": {"dtype": "bool", "expression": "x <= 1e0 and x is not null"},
}
"""Columns as they stand, the last row for each key and time; a vector comes on top."""

REFUSED: dict[str, dict[str, Any]] = {
    "quantile": {"agg": "quantile", "expression": "x", "q": 0.5},
    "std": {"agg": "std", "expression": "x"},
    "decay": {"agg": "decay", "expression": "x", "half_life": "3h"},
    "division by what may be 0": {"agg": "sum", "expression": "x / n"},
    "decimals beside whole numbers": {"agg": "count", "filter": "n > 0.5"},
    "whole numbers beyond 64 bits": {"agg": "sum", "expression": "large * 4"},
    "text beside numbers": {"agg": "count", "filter": "s > 1"},
    "text as a number": {"agg": "sum", "expression": "CAST(s AS DOUBLE)"},
    "numbers as text": {"agg": "last", "expression": "CAST(x AS VARCHAR)", "dtype": "str"},
    "number rounded by a cast": {"agg": "last", "expression": "CAST(x AS BIGINT)", "dtype": "int"},
    "functions that are not on the list": {"agg": "last", "expression": "lower(s)", "dtype": "str"},
    "moments in an expression": {"agg": "count", "filter": "t > TIMESTAMPTZ '2013-03-10 12:00:00+00'"},
    "IS DISTINCT FROM": {"agg": "count", "filter": "n IS DISTINCT FROM 1"},
    "LIKE": {"agg": "count", "filter": "s LIKE 'a%'"},
    "escapes in text": {"agg": "count", "filter": "s = 'back\\slash'"},
    "subqueries": {"agg": "count", "filter": "n IN (SELECT 1)"},
}
"""Windowed features that an engine refuses, and DuckDB computes or refuses by itself."""
