"""The types of values as somebody sent them, and their conversion to numbers or texts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns, Input


def schema_problem(columns: Columns, one: Input) -> str | None:
    """Find what is wrong with the presence or the type of a column; None when nothing is."""
    if one.size is not None:
        return "vectors, which are not watched,"
    if one.name not in columns:
        return "the column is missing"
    wrong = _types(columns[one.name]) - {"text" if one.is_categorical else "numbers"}
    if not wrong:
        return None
    return f"{' and '.join(sorted(wrong))} where {'text is' if one.is_categorical else 'numbers are'} expected"


def _types(values: Array) -> set[str]:
    """Name the types among the values: "text", "numbers", or another type's name; nulls have none."""
    if values.dtype.kind == "f":
        return set() if np.isnan(values).all() else {"numbers"}
    if values.dtype.kind != "O":
        return {_type_name(values.dtype.type)} if len(values) else set()
    kinds = set(map(type, values.tolist())) - {type(None)}
    if float in kinds and all(math.isnan(value) for value in values.tolist() if isinstance(value, float)):
        kinds.remove(float)
    return {_type_name(kind) for kind in kinds}


def _type_name(kind: type) -> str:
    if issubclass(kind, str):
        return "text"
    return "numbers" if issubclass(kind, int | float | np.number | np.bool_) else f"{kind.__name__} values"


def as_numbers(values: Array) -> npt.NDArray[np.float64]:
    """Convert numbers of any type, None for null, to float64 with NaN for null; shape (n,)."""
    return np.asarray(values).astype(np.float64)


def as_texts(values: Array) -> list[str | None]:
    """Convert texts to a list of n, with None in place of NaN."""
    return [value if isinstance(value, str) else None for value in values.tolist()]
