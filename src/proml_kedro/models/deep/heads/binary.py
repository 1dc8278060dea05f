"""``loss: binary``: the log loss of a truth value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from proml_kedro.models.deep.heads.base import Head, HeadState, filled, weighted_mean
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Binary(Head):
    """How probable it is that a label is true. Outputs: ``margin`` (log-odds) and ``probability``."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    metrics: ClassVar[tuple[str, ...]] = ("auc", "logloss")

    loss: Literal["binary"] = "binary"

    @property
    def gives(self) -> tuple[str, ...]:
        """Margin and probability."""
        return ("margin", "probability")

    def begin(self, label: Array, weight: Array) -> tuple[Sequence[float], HeadState]:
        """Start at the log-odds of the label's mean.

        Raises:
            ValueError: There are other values than 0 and 1.
        """
        import numpy as np

        if not np.isin(label, (0, 1)).all():
            raise ValueError("is not a truth value: it holds other values than 0 and 1")
        rate = float(np.clip(np.average(label, weights=weight), 1e-6, 1 - 1e-6))
        return [float(np.log(rate / (1 - rate)))], {}

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the log loss."""
        import tensorflow as tf

        losses = tf.nn.sigmoid_cross_entropy_with_logits(filled(label), margin[:, 0])
        return weighted_mean(losses, label, weight)

    def finish(self, margin: Any, learned: HeadState) -> list[Any]:
        """Return log-odds and probability."""
        import tensorflow as tf

        return [margin[:, 0], tf.sigmoid(margin[:, 0])]
