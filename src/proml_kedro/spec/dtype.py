"""The types of features."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from proml_kedro.errors import did_you_mean

SCALARS = ("float", "int", "bool", "str")
LARGEST_VECTOR = 65_536
_VECTOR = re.compile(r"vector\[([1-9]\d*)\]")


def vector_size(dtype: str) -> int | None:
    """Return how many numbers a vector type has; None for a scalar.

    >>> vector_size("vector[12]"), vector_size("float")
    (12, None)
    """
    match = _VECTOR.fullmatch(dtype)
    return int(match[1]) if match else None


def _known(dtype: str) -> str:
    size = vector_size(dtype)
    if size is None and dtype not in SCALARS:
        hint = "" if dtype.startswith("vector") else did_you_mean(dtype, [*SCALARS, "vector"])
        raise ValueError(f"no dtype '{dtype}'; it is {', '.join(SCALARS)} or vector[N] with N numbers.{hint}".rstrip())
    if size is not None and size > LARGEST_VECTOR:
        raise ValueError(f"a vector has at most {LARGEST_VECTOR:,} numbers, not {size:,}")
    return dtype


Dtype = Annotated[str, AfterValidator(_known)]
"""``float``, ``int``, ``bool``, ``str``, or ``vector[N]`` for a list of N single-precision numbers."""


def feature_type(dtype: Dtype) -> str:
    """Return ``numerical``, ``categorical`` or ``embedding``."""
    if vector_size(dtype) is not None:
        return "embedding"
    return "categorical" if dtype in ("str", "bool") else "numerical"
