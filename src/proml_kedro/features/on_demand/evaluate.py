"""On-demand features computed with NumPy: the same code object for training sets, batch scoring and requests.

Numbers and truth values are float64 arrays with NaN for null, text is an object array with None for null, vectors are
arrays of shape (n, size) with rows of NaN for null. Arithmetic without a finite result, such as a division by 0, is
null. Everything else is as in SQL: null in, null out, but for ``coalesce``, ``greatest``, ``least``, ``is null``,
``case`` and the three truth values of ``and``, ``or`` and ``in``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.column_functions import cosine_similarity, dot, finite, ratio
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.expression import Column, Literal, Node
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.on_demand import bases, expressions

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]


class OnDemand:
    """Computes on-demand features.

    Args:
        features: The problem's features.
        names: ``view.feature`` of those that are wanted; whatever is not on-demand is passed over.

    Attributes:
        needs: The features that they are computed from, ``view.feature`` to type.
        dtypes: The type of each on-demand feature.
    """

    def __init__(self, features: FeaturesSpec, names: Iterable[str]) -> None:
        wanted = list(names)
        self._nodes = expressions(features, wanted)
        self.dtypes: dict[str, Dtype] = {name: features.columns()[name] for name in self._nodes}
        self._wanted = [name for name in wanted if name in self._nodes]
        self.needs: dict[str, Dtype] = bases(features, self._wanted)

    def compute(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """The wanted features, each an array of shape (n,).

        Args:
            columns: At least :attr:`needs`, n rows each. Numbers and truth values of any numeric type, NaN or infinite
                where missing; text as objects with None. Float64 wherever results must be the same as elsewhere.
        """
        if not self._wanted:
            return {}
        known = {name: _as_operand(columns[name], dtype) for name, dtype in self.needs.items()}
        n = len(next(iter(columns.values())))
        with np.errstate(all="ignore"):
            for name, node in self._nodes.items():
                known[name] = _as_dtype(_evaluate(node, known, n), self.dtypes[name], n)
        return {name: known[name] for name in self._wanted}


def _as_operand(values: Array, dtype: Dtype) -> Array:
    if dtype == "str":
        return values
    numbers = np.array(values, np.float64)
    if vector_size(dtype) is not None:
        numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
        return numbers
    return finite(numbers)


def _as_dtype(values: Array, dtype: Dtype, n: int) -> Array:
    if dtype == "str":
        return values if values.dtype == object else np.full(n, None, object)
    return _round(values) if dtype == "int" else values


def _evaluate(node: Node, columns: Mapping[str, Array], n: int) -> Array:
    if isinstance(node, Column):
        return columns[node.name]
    if isinstance(node, Literal):
        return _constant(node.value, n)
    arguments = _alike([_evaluate(one, columns, n) for one in node.arguments], node.function, n)
    return _FUNCTIONS[node.function](*arguments)


def _constant(value: float | str | bool | None, n: int) -> Array:
    if isinstance(value, str):
        return np.full(n, value, object)
    return np.full(n, np.nan if value is None else float(value))


def _alike(arguments: list[Array], function: str, n: int) -> list[Array]:
    """Null, which is written like a missing number, as text where it stands among text."""
    values = set(range(len(arguments)))
    if function == "case":
        values -= set(range(0, len(arguments) - 1, 2))  # conditions
    if function not in _OF_TEXT and all(arguments[one].dtype != object for one in values):
        return arguments
    nothing = np.full(n, None, object)
    return [nothing if position in values and one.dtype != object else one for position, one in enumerate(arguments)]


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
    found = _FUNCTIONS["="](value, choices[0])
    for one in choices[1:]:
        found = _or(found, _FUNCTIONS["="](value, one))
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
    return np.where(_FUNCTIONS["="](value, other) == 1, nothing, value)


def _round(values: Numbers, digits: Numbers | None = None) -> Numbers:
    """Half away from 0, unlike NumPy's."""
    if digits is not None:
        scale = np.power(10.0, np.trunc(digits))
        scaled = _round(values * scale) / scale
        return np.where(np.isfinite(scaled) | np.isnan(digits), scaled, values)
    whole = np.trunc(values)
    return whole + np.where(np.abs(values - whole) >= 0.5, np.sign(values), 0.0)


def _text(function: Callable[[str], Any], missing: Any, kind: Any) -> Callable[[Array], Array]:
    return lambda values: np.array([missing if one is None else function(one) for one in values], kind)


_OF_TEXT = ("lower", "upper", "length")

_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "+": _arithmetic(np.add),
    "-": _arithmetic(np.subtract),
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
    "log1p": _arithmetic(np.log1p),
    "sign": np.sign,
    "sqrt": _arithmetic(np.sqrt),
    "round": _round,
    "pow": _arithmetic(lambda base, exponent: np.where(np.isnan(base + exponent), np.nan, np.power(base, exponent))),
    "greatest": lambda *values: np.fmax.reduce(values),
    "least": lambda *values: np.fmin.reduce(values),
    "coalesce": _coalesce,
    "nullif": _nullif,
    "lower": _text(str.lower, None, object),
    "upper": _text(str.upper, None, object),
    "length": _text(len, np.nan, np.float64),
    "cosine_similarity": cosine_similarity,
    "dot": dot,
}


_PLAIN: dict[Dtype, Callable[[Any], Any]] = {"float": float, "int": int, "bool": bool, "str": str}


def to_lists(columns: Mapping[str, Array], dtypes: Mapping[str, Dtype]) -> dict[str, list[Any]]:
    """Computed features as plain values with None for null, as Feast passes them on."""
    return {
        name: [None if one is None or one != one else _PLAIN[dtypes[name]](one) for one in values.tolist()]
        for name, values in columns.items()
    }


def from_lists(values: Mapping[str, Sequence[Any]], dtypes: Mapping[str, Dtype]) -> dict[str, Array]:
    """Plain values with None for null as arrays that :meth:`OnDemand.compute` takes."""
    return {name: _from_list(values[name], dtype) for name, dtype in dtypes.items()}


def _from_list(values: Sequence[Any], dtype: Dtype) -> Array:
    if dtype == "str":
        return np.array([*values, None], object)[:-1]
    size = vector_size(dtype)
    if size is None:
        return np.array([np.nan if one is None else one for one in values], np.float64)
    nothing = [np.nan] * size
    return np.array([nothing if one is None else one for one in values], np.float64).reshape(len(values), size)
