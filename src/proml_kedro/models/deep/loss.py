"""The loss of a network: that of all its heads together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from proml_kedro.models.deep.batches import PADDING
from proml_kedro.models.deep.heads import Head, HeadState


def total_loss(
    heads: Sequence[tuple[Head, HeadState]], outputs: Sequence[Any], labels: Any, weight: Any, lists: Any
) -> Any:
    """Add up the losses of the heads, times their weights.

    Args:
        heads: Each with what it learned before training.
        outputs: Margins of each head, (n, units); more may follow.
        labels: Float tensor of shape (n, heads).
        weight: Float tensor of shape (n,).
        lists: Integer tensor of shape (lists, length) for heads that compare rows: its entries that are no padding
            stand for the n rows, in their order.
    """
    import tensorflow as tf

    total = tf.constant(0.0)
    for position, (head, learned) in enumerate(heads):
        label, margin, counts = labels[:, position], outputs[position], weight
        if head.by_group:
            label, margin = _in_lists(label, lists, math.nan), _in_lists(margin[:, 0], lists, 0.0)
            counts = _in_lists(weight, lists, 0.0)
        total += head.weight * head.loss_of(label, margin, counts, learned)
    return total


def _in_lists(values: Any, lists: Any, filling: float) -> Any:
    """Put the values of rows where their lists have them; (lists, length)."""
    import tensorflow as tf

    values = tf.convert_to_tensor(values)
    places = tf.where(tf.not_equal(lists, PADDING))
    filled = tf.fill(tf.shape(lists), tf.constant(filling, values.dtype))
    return tf.tensor_scatter_nd_update(filled, places, values)
