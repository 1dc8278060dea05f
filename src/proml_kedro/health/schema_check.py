"""Values as somebody sent them: of which sort they are, and as numbers or texts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns, Input


def schema_problem(columns: Columns, one: Input) -> str | None:
    """What is wrong with the presence or the type of a column; None when nothing is."""
    if one.size is not None:
        return "vectors, which are not watched,"
    if one.name not in columns:
        return "the column is missing"
    wrong = _sorts(columns[one.name]) - {"text" if one.is_categorical else "numbers"}
    if not wrong:
        return None
    return f"{' and '.join(sorted(wrong))} where {'text is' if one.is_categorical else 'numbers are'} expected"


def _sorts(values: Array) -> set[str]:
    """What occurs among the values: "text", "numbers", or the name of another type; nulls are neither."""
    if values.dtype.kind == "f":
        return set() if np.isnan(values).all() else {"numbers"}
    if values.dtype.kind != "O":
        return {_sort(values.dtype.type)} if len(values) else set()
    kinds = set(map(type, values.tolist())) - {type(None)}
    if float in kinds and all(math.isnan(value) for value in values.tolist() if isinstance(value, float)):
        kinds.remove(float)
    return {_sort(kind) for kind in kinds}


def _sort(kind: type) -> str:
    if issubclass(kind, str):
        return "text"
    return "numbers" if issubclass(kind, int | float | np.number | np.bool_) else f"{kind.__name__} values"


def as_numbers(values: Array) -> npt.NDArray[np.float64]:
    """Numbers of any type, None for null, as float64 with NaN for null; shape (n,)."""
    return np.asarray(values).astype(np.float64)


def as_texts(values: Array) -> list[str | None]:
    """Texts, with None in place of NaN; a list of n."""
    return [value if isinstance(value, str) else None for value in values.tolist()]
