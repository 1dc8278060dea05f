"""``loss: squared`` and ``loss: huber``: the mean of a number.

The network predicts in units of the label's deviation around its mean, so that a learning rate suits any label.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveFloat

from proml_kedro.models.deep.accumulators import mean_and_deviation
from proml_kedro.models.deep.heads.base import Head, HeadState, filled, weighted_mean
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class _Scaled(Head):
    """A head whose margin, in units of the label's deviation, is an estimate of the label."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae")

    @property
    def gives(self) -> tuple[str, ...]:
        """Margin and mean, which are the same number."""
        return ("margin", "mean")

    def begin(self, label: Array, weight: Array) -> tuple[Sequence[float], HeadState]:
        """Start at 0, the mean of the label in its own units, and keep its mean and deviation."""
        center, deviation = mean_and_deviation(label, weight)
        return [0.0], {"center": center, "deviation": deviation}

    def origin(self, learned: HeadState) -> float:
        """Return the mean of the label."""
        return learned["center"]

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the mean of :meth:`penalty`."""
        target = filled(label) / learned["deviation"]
        return weighted_mean(self.penalty(target - margin[:, 0], learned), label, weight)

    @abstractmethod
    def penalty(self, difference: Any, learned: HeadState) -> Any:
        """Compute the loss of each row.

        Args:
            difference: Label less margin, in units of the label's deviation; float tensor of shape (n,).
            learned: As :meth:`begin` returned it.
        """

    def finish(self, margin: Any, learned: HeadState) -> list[Any]:
        """Return the estimate in the label's own units, twice."""
        value = margin[:, 0] * learned["deviation"] + learned["center"]
        return [value, value]


class Squared(_Scaled):
    """The mean of a number. Outputs: ``margin`` and ``mean``, the same."""

    loss: Literal["squared"]

    def penalty(self, difference: Any, learned: HeadState) -> Any:
        """Compute half the square."""
        return 0.5 * difference**2


class Huber(_Scaled):
    """The mean of a number, drawn less by outliers (Huber, Annals of Mathematical Statistics 1964).

    Outputs: ``margin`` and ``mean``, the same.

    Attributes:
        delta: Differences beyond this count linearly; in units of the label.
    """

    loss: Literal["huber"]
    delta: PositiveFloat = 1.0

    def penalty(self, difference: Any, learned: HeadState) -> Any:
        """Compute half the square, beyond ``delta`` a line with the same slope."""
        import tensorflow as tf

        delta = self.delta / learned["deviation"]
        size = tf.abs(difference)
        inside = tf.minimum(size, delta)
        return inside * (size - 0.5 * inside)
