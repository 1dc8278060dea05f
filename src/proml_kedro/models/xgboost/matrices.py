"""From examples to XGBoost's matrix of quantiles: at once, or in parts where all inputs side by side are too large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import Vocabulary, batches_of, learn_vocabularies, to_matrix
from proml_kedro.models.component import NUMBER, Examples, Input

PART = 64_000_000
"""Bytes of all inputs side by side above which they are given to XGBoost in parts, and of a part. The same whatever the
machine: quantiles of several parts are not exactly those of the whole, and a model is the same on every machine."""

_OF_CELL, _OF_ROW = 6, 50
"""Bytes that XGBoost 3.2 was measured to hold: 3 to 6 of each value, the more of them are missing, and of each row its
gradients, predictions, label and place in the tree."""


def memory_of_quantiles(rows: int, inputs: int) -> int:
    """Estimate the bytes that XGBoost holds while it learns from so many rows."""
    return rows * (_OF_CELL * inputs + _OF_ROW)


def is_in_parts(examples: Examples, inputs: Sequence[Input]) -> bool:
    """Tell whether examples are given to XGBoost in parts: they are too large, and can be read again and again."""
    return examples.source is not None and len(examples) * len(inputs) * NUMBER > PART


def vocabularies_of(examples: Examples, inputs: Sequence[Input]) -> dict[str, Vocabulary]:
    """Learn the vocabulary of each categorical input."""
    if not is_in_parts(examples, inputs):
        return learn_vocabularies(examples.columns, inputs)
    texts = [one for one in inputs if one.is_categorical]
    known: dict[str, set[str]] = {one.name: set() for one in texts}
    for part in batches_of([examples], texts) if texts else ():
        for name, values in part.items():
            known[name].update(value for value in values if value is not None)
    return {name: Vocabulary(sorted(values)) for name, values in known.items()}


def quantiles_in_parts(
    examples: Examples,
    inputs: Sequence[Input],
    vocabularies: Mapping[str, Vocabulary],
    label: npt.NDArray[np.float64],
    **settings: Any,
) -> Any:
    """Make an ``xgboost.QuantileDMatrix``. The examples are read a few times, and never held.

    Args:
        examples: The examples; they have a source.
        inputs: Columns of the matrix.
        vocabularies: Of the categorical ones.
        label: What to learn, shape (n,).
        settings: Of the matrix, besides those of its columns.
    """
    import xgboost

    columns = {
        "feature_names": [one.name for one in inputs],
        "feature_types": ["c" if one.is_categorical else "q" for one in inputs],
    }

    class Parts(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__()
            self.reset()

        def reset(self) -> None:
            self._parts, self._first = _matrices(examples, inputs, vocabularies), 0

        def next(self, input_data: Callable[..., None]) -> bool:
            matrix = next(self._parts, None)
            if matrix is None:
                return False
            rows = slice(self._first, self._first + len(matrix))
            weight = None if examples.weight is None else examples.weight[rows]
            input_data(data=matrix, label=label[rows], weight=weight, **columns)
            self._first = rows.stop
            return True

    return xgboost.QuantileDMatrix(Parts(), **settings)


def _matrices(
    examples: Examples, inputs: Sequence[Input], vocabularies: Mapping[str, Vocabulary]
) -> Iterator[npt.NDArray[np.float32]]:
    """All inputs side by side, in matrices of the same number of rows but for the last; its rows may be fewer."""
    rows = max(1, PART // (NUMBER * len(inputs)))
    matrix, filled = np.empty((rows, len(inputs)), np.float32), 0
    for columns in batches_of([examples], inputs, min(rows, 1 << 16)):
        read = to_matrix(columns, inputs, vocabularies)
        while len(read):
            taken = read[: rows - filled]
            matrix[filled : filled + len(taken)] = taken
            read, filled = read[len(taken) :], filled + len(taken)
            if filled == rows:
                yield matrix
                matrix, filled = np.empty((rows, len(inputs)), np.float32), 0
    if filled:
        yield matrix[:filled]
