"""Functions of columns: the one implementation that on-demand features and producers share.

Numbers are floating point of shape (n,), vectors of shape (n, size); NaN is missing, and so is whatever has no finite
result. The blocks ``dot`` and ``cosine`` of a network compute the same within TensorFlow's graph, where gradients flow
through them, and cannot call these; a zero vector has a cosine of 0 there, since a network knows nothing missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]]


def finite(values: Numbers) -> Numbers:
    """Return the values, missing where they are infinite."""
    return np.where(np.isfinite(values), values, np.nan)


def dot(left: Numbers, right: Numbers) -> Numbers:
    """Dot product of each row of two arrays of vectors; shape (n,)."""
    with np.errstate(all="ignore"):
        return finite(_dot(left, right))


def cosine_similarity(left: Numbers, right: Numbers) -> Numbers:
    """Cosine of the angle between each two vectors, shape (n,).

    It is missing where a vector is zero, or so small or large that its square is no normal number of its type.
    """
    with np.errstate(all="ignore"):
        return finite(_dot(left, right) / (_length(left) * _length(right)))


def ratio(numerator: Numbers, denominator: Numbers) -> Numbers:
    """Quotient of each two numbers, shape (n,); missing where the denominator is 0."""
    with np.errstate(all="ignore"):
        return finite(numerator / denominator)


def _length(vectors: Numbers) -> Numbers:
    square = _dot(vectors, vectors)
    return np.sqrt(np.where(square >= np.finfo(square.dtype).tiny, finite(square), np.nan))


def _dot(left: Numbers, right: Numbers) -> Numbers:
    return np.asarray(np.einsum("ij,ij->i", left, right))
