"""The loss of a network: that of all its heads together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proml_kedro.models.deep.heads import Head, HeadState


def total_loss(
    heads: Sequence[tuple[Head, HeadState]], outputs: Sequence[Any], labels: Any, weight: Any, shape: Any
) -> Any:
    """Add up the losses of the heads, times their weights.

    Args:
        heads: Each with what it learned before training.
        outputs: Margins of each head, (n, units); more may follow.
        labels: Float tensor of shape (n, heads).
        weight: Float tensor of shape (n,).
        shape: Of the batch's rows: (n,), or (lists, length).
    """
    import tensorflow as tf

    total = tf.constant(0.0)
    for position, (head, learned) in enumerate(heads):
        label, margin, counts = labels[:, position], outputs[position], weight
        if head.by_group:
            label, margin, counts = (tf.reshape(one, shape) for one in (label, margin, counts))
        total += head.weight * head.loss_of(label, margin, counts, learned)
    return total
