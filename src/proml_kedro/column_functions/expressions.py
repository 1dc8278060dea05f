"""Expressions computed with NumPy, as on-demand features and producers write them.

Numbers and truth values are float64 arrays with NaN for null, text is an object array with None for null, vectors are
arrays of shape (n, size) with rows of NaN for null. Arithmetic without a finite result, such as a division by 0, is
null. Everything else is as in SQL: null in, null out, except for ``coalesce``, ``greatest``, ``least``, ``is null``,
``case`` and the three truth values of ``and``, ``or`` and ``in``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from proml_kedro.column_functions.functions import FUNCTIONS, OF_TEXT, Array, round_half_away
from proml_kedro.column_functions.numbers import finite
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.expression import Column, Literal, Node


def as_operand(values: Array) -> Array:
    """Convert a column to what expressions read: text as it is, numbers and vectors as a float64 copy.

    Infinite numbers become missing, and a vector with a number that is not finite is missing as a whole.
    """
    if values.dtype == object:
        return values
    numbers = np.array(values, np.float64)
    if numbers.ndim == 1:
        return finite(numbers)
    numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
    return numbers


def evaluate(node: Node, columns: Mapping[str, Array], dtype: Dtype, n: int) -> Array:
    """Compute an expression that :func:`proml_kedro.spec.expression_types.check_dtype` has found sound.

    Args:
        node: The expression.
        columns: What it reads, as :func:`as_operand` gives it, n rows each.
        dtype: Of the result: float64 of shape (n,), rounded for ``int``; for ``str`` objects with None for null.
        n: The number of rows.
    """
    with np.errstate(all="ignore"):
        values = _evaluate(node, columns, n)
    if dtype == "str":
        return values if values.dtype == object else np.full(n, None, object)
    return round_half_away(values) if dtype == "int" else values


def _evaluate(node: Node, columns: Mapping[str, Array], n: int) -> Array:
    if isinstance(node, Column):
        return columns[node.name]
    if isinstance(node, Literal):
        return _constant(node.value, n)
    arguments = _alike([_evaluate(one, columns, n) for one in node.arguments], node.function, n)
    return FUNCTIONS[node.function](*arguments)


def _constant(value: float | str | bool | None, n: int) -> Array:
    if isinstance(value, str):
        return np.full(n, value, object)
    return np.full(n, np.nan if value is None else float(value))


def _alike(arguments: list[Array], function: str, n: int) -> list[Array]:
    """Null, which is written like a missing number, as text where it stands among text."""
    values = set(range(len(arguments)))
    if function == "case":
        values -= set(range(0, len(arguments) - 1, 2))  # conditions
    if function not in OF_TEXT and all(arguments[one].dtype != object for one in values):
        return arguments
    nothing = np.full(n, None, object)
    return [nothing if position in values and one.dtype != object else one for position, one in enumerate(arguments)]
