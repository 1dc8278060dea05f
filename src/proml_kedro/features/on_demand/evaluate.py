"""On-demand features computed with NumPy: the same code object for training sets, batch scoring and requests.

Numbers and truth values are float64 arrays with NaN for null, text is an object array with None for null, vectors are
arrays of shape (n, size) with rows of NaN for null. Arithmetic without a finite result, such as a division by 0, is
null. Everything else is as in SQL: null in, null out, except for ``coalesce``, ``greatest``, ``least``, ``is null``,
``case`` and the three truth values of ``and``, ``or`` and ``in``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from proml_kedro.column_functions import finite
from proml_kedro.features.on_demand.functions import FUNCTIONS, OF_TEXT, Array, round_half_away
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.expression import Column, Literal, Node
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.on_demand import bases, expressions


class OnDemand:
    """Computes on-demand features.

    Args:
        features: The problem's features.
        names: ``view.feature`` of those that are wanted; others are ignored.

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
        """Return the wanted features, each an array of shape (n,).

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
