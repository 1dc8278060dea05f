"""Operations on Keras tensors that several blocks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SHORTEST = 1e-6  # a shorter vector is divided by this instead of its length


def flat(values: Sequence[Any]) -> Any:
    """Put tensors side by side in one of shape (n, total width)."""
    import keras

    parts = [keras.layers.Flatten()(value) if len(value.shape) > 2 else value for value in values]
    return keras.ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def stacked(values: Sequence[Any]) -> Any:
    """Stack vectors of one dimension; shape (n, vectors, dimension)."""
    import keras

    parts = [keras.ops.expand_dims(value, 1) if len(value.shape) == 2 else value for value in values]
    return keras.ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def dot_product(first: Any, second: Any) -> Any:
    """Multiply two tensors of shape (n, dimension) and sum; shape (n, 1)."""
    from keras import ops

    return ops.sum(first * second, axis=-1, keepdims=True)


def to_unit_length(vectors: Any) -> Any:
    """Divide vectors along the last axis by their lengths."""
    from keras import ops

    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, _SHORTEST**2))
