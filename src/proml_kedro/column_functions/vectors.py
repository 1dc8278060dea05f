"""Functions of two vectors: floating point of shape (n, size), with a row of NaN for missing.

The blocks ``dot`` and ``cosine`` of a network compute the same within TensorFlow's graph, where gradients flow through
them, and cannot call these; a zero vector has a cosine of 0 there, since a network knows nothing missing.
"""

from __future__ import annotations

import numpy as np

from proml_kedro.column_functions.numbers import Numbers, finite


def dot(left: Numbers, right: Numbers) -> Numbers:
    """Compute the dot product of each row of two arrays of vectors; shape (n,)."""
    with np.errstate(all="ignore"):
        return finite(_dot(left, right))


def cosine_similarity(left: Numbers, right: Numbers) -> Numbers:
    """Compute the cosine of the angle between each two vectors, shape (n,).

    It is missing where a vector is zero, or so small or large that its square is no normal number of its type.
    """
    with np.errstate(all="ignore"):
        return finite(_dot(left, right) / (_length(left) * _length(right)))


def euclidean_distance(left: Numbers, right: Numbers) -> Numbers:
    """Compute the distance between each two vectors, shape (n,).

    Differences are scaled by the largest of a row, so that no square overflows, nor vanishes.
    """
    with np.errstate(all="ignore"):
        apart = left - right
        largest = np.abs(apart).max(axis=1, initial=0.0, keepdims=True)
        unit = apart / np.where(largest > 0, largest, 1)
        return finite(largest[:, 0] * np.sqrt(_dot(unit, unit)))


def _length(vectors: Numbers) -> Numbers:
    square = _dot(vectors, vectors)
    return np.sqrt(np.where(square >= np.finfo(square.dtype).tiny, finite(square), np.nan))


def _dot(left: Numbers, right: Numbers) -> Numbers:
    return np.asarray(np.einsum("ij,ij->i", left, right))
