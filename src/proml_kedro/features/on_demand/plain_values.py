"""On-demand features as plain Python values, as Feast passes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from proml_kedro.column_functions.functions import Array
from proml_kedro.spec.dtype import Dtype, vector_size

_PLAIN: dict[Dtype, Callable[[Any], Any]] = {"float": float, "int": int, "bool": bool, "str": str}


def to_lists(columns: Mapping[str, Array], dtypes: Mapping[str, Dtype]) -> dict[str, list[Any]]:
    """Return computed features as plain values, with None for null."""
    return {
        name: [None if one is None or one != one else _PLAIN[dtypes[name]](one) for one in values.tolist()]
        for name, values in columns.items()
    }


def from_lists(values: Mapping[str, Sequence[Any]], dtypes: Mapping[str, Dtype]) -> dict[str, Array]:
    """Return plain values, with None for null, as arrays for :meth:`.evaluate.OnDemand.compute`."""
    return {name: _from_list(values[name], dtype) for name, dtype in dtypes.items()}


def _from_list(values: Sequence[Any], dtype: Dtype) -> Array:
    if dtype == "str":
        return np.array([*values, None], object)[:-1]
    size = vector_size(dtype)
    if size is None:
        return np.array([np.nan if one is None else one for one in values], np.float64)
    nothing = [np.nan] * size
    return np.array([nothing if one is None else one for one in values], np.float64).reshape(len(values), size)
