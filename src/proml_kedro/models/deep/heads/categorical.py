"""``loss: categorical``: the log loss of one of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from proml_kedro.models.deep.heads.base import Head, HeadState, filled, weighted_mean
from proml_kedro.spec.base import Name

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Categorical(Head):
    """How probable each class of an auxiliary label is. Outputs: ``class_0``, ``class_1`` and so on, summing to 1.

    Attributes:
        classes: How many there are; the label is a class's number, from 0.
        label: One of the problem's auxiliary labels.
    """

    loss: Literal["categorical"]
    classes: Annotated[int, Field(ge=2, le=10_000)]
    label: Name

    @property
    def units(self) -> int:
        """Number of classes: a margin for each."""
        return self.classes

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the classes' probabilities."""
        return tuple(f"class_{number}" for number in range(self.classes))

    def begin(self, label: Array, weight: Array) -> tuple[Sequence[float], HeadState]:
        """Start at the logarithms of the classes' shares; each class counts one row more than it has.

        Raises:
            ValueError: A label is no class's number.
        """
        import numpy as np

        if not np.isin(label, np.arange(self.classes)).all():
            raise ValueError(f"is not the number of a class: it holds other values than 0 to {self.classes - 1}")
        counts = np.bincount(label.astype(np.int64), weight, self.classes)
        return np.log((counts + 1) / (counts.sum() + self.classes)).tolist(), {}

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the log loss."""
        import tensorflow as tf

        classes = tf.cast(filled(label), tf.int32)
        losses = tf.nn.softmax_cross_entropy_with_logits(tf.one_hot(classes, self.classes), margin)
        return weighted_mean(losses, label, weight)

    def finish(self, margin: Any, learned: HeadState) -> list[Any]:
        """Return the softmax of the margins."""
        import tensorflow as tf

        shares = tf.nn.softmax(margin)
        return [shares[:, number] for number in range(self.classes)]
