"""Functions of expressions, on NumPy arrays.

Numbers and truth values are float64 arrays with NaN for null, text is an object array with None for null, vectors are
arrays of shape (n, size) with rows of NaN for null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.column_functions.dates import date_part, time_since
from proml_kedro.column_functions.numbers import clip, difference, finite, log1p, ratio
from proml_kedro.column_functions.texts import text_overlap
from proml_kedro.column_functions.vectors import cosine_similarity, dot, euclidean_distance

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]


def _is_null(values: Array) -> npt.NDArray[np.bool_]:
    if values.dtype == object:
        return np.fromiter((one is None for one in values), np.bool_, len(values))
    return np.asarray(np.isnan(values).any(axis=1) if values.ndim > 1 else np.isnan(values))


def _arithmetic(operator: Callable[..., Any]) -> Callable[..., Array]:
    return lambda *arguments: finite(operator(*arguments))


def _comparison(operator: Callable[[Any, Any], Any]) -> Callable[[Array, Array], Numbers]:
    def compare(left: Array, right: Array) -> Numbers:
        unknown = _is_null(left) | _is_null(right)
        return np.where(unknown, np.nan, np.asarray(operator(left, right), np.float64))

    return compare


def _and(left: Numbers, right: Numbers) -> Numbers:
    return np.where((left == 0) | (right == 0), 0.0, left * right)


def _or(left: Numbers, right: Numbers) -> Numbers:
    return np.where((left == 1) | (right == 1), 1.0, left + right)


def _in(value: Array, *choices: Array) -> Numbers:
    found = FUNCTIONS["="](value, choices[0])
    for one in choices[1:]:
        found = _or(found, FUNCTIONS["="](value, one))
    return found


def _case(*parts: Array) -> Array:
    result = parts[-1]
    for condition, value in reversed(list(zip(parts[:-1:2], parts[1:-1:2], strict=True))):
        result = np.where(condition == 1, value, result)
    return result


def _coalesce(*choices: Array) -> Array:
    result = choices[0]
    for one in choices[1:]:
        result = np.where(_is_null(result), one, result)
    return result


def _nullif(value: Array, other: Array) -> Array:
    nothing: Any = None if value.dtype == object else np.nan
    return np.where(FUNCTIONS["="](value, other) == 1, nothing, value)


def round_half_away(values: Numbers, digits: Numbers | None = None) -> Numbers:
    """Round halves away from 0, unlike NumPy."""
    if digits is not None:
        scale = np.power(10.0, np.trunc(digits))
        scaled = round_half_away(values * scale) / scale
        return np.where(np.isfinite(scaled) | np.isnan(digits), scaled, values)
    whole = np.trunc(values)
    return whole + np.where(np.abs(values - whole) >= 0.5, np.sign(values), 0.0)


def _text(function: Callable[[str], Any], missing: Any, kind: Any) -> Callable[[Array], Array]:
    return lambda values: np.array([missing if one is None else function(one) for one in values], kind)


def _first_constant(function: Callable[..., Numbers]) -> Callable[..., Numbers]:
    """A function whose first argument is the same word in every row."""
    return lambda word, *columns: function(word[0], *columns) if len(word) else np.zeros(0)


OF_TEXT = ("lower", "upper", "length", "date_part", "time_since", "text_overlap")
"""Functions whose arguments are text."""

FUNCTIONS: dict[str, Callable[..., Array]] = {
    "+": _arithmetic(np.add),
    "-": difference,
    "*": _arithmetic(np.multiply),
    "/": ratio,
    "%": _arithmetic(np.fmod),
    "negative": np.negative,
    "=": _comparison(lambda left, right: left == right),
    "<>": _comparison(lambda left, right: left != right),
    "<": _comparison(np.less),
    "<=": _comparison(np.less_equal),
    ">": _comparison(np.greater),
    ">=": _comparison(np.greater_equal),
    "and": _and,
    "or": _or,
    "not": lambda values: 1.0 - values,
    "is null": lambda values: _is_null(values).astype(np.float64),
    "in": _in,
    "case": _case,
    "abs": np.abs,
    "ceil": np.ceil,
    "exp": _arithmetic(np.exp),
    "floor": np.floor,
    "ln": _arithmetic(np.log),
    "log1p": log1p,
    "sign": np.sign,
    "sqrt": _arithmetic(np.sqrt),
    "round": round_half_away,
    "pow": _arithmetic(lambda base, exponent: np.where(np.isnan(base + exponent), np.nan, np.power(base, exponent))),
    "greatest": lambda *values: np.fmax.reduce(values),
    "least": lambda *values: np.fmin.reduce(values),
    "coalesce": _coalesce,
    "nullif": _nullif,
    "lower": _text(str.lower, None, object),
    "upper": _text(str.upper, None, object),
    "length": _text(len, np.nan, np.float64),
    "clip": clip,
    "cosine_similarity": cosine_similarity,
    "dot": dot,
    "euclidean_distance": euclidean_distance,
    "text_overlap": text_overlap,
    "date_part": _first_constant(date_part),
    "time_since": _first_constant(time_since),
}
"""Each function of :mod:`proml_kedro.spec.expression` by its name there."""
