"""``loss: squared``, ``huber``, ``quantile`` and ``poisson``: numbers.

The network predicts in units of the label's deviation around its mean, so that a learning rate suits any label.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, model_validator

from proml_kedro.models.deep.heads.base import Head, Learned, filled, heads, weighted_mean
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from typing import Self

    from proml_kedro.models.component import Array


class _Scaled(Head):
    """A head whose margin, in units of the label's deviation, is an estimate of the label."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae")

    @property
    def gives(self) -> tuple[str, ...]:
        """Margin and mean, which are the same number."""
        return ("margin", "mean")

    def begin(self, label: Array) -> tuple[Sequence[float], Learned]:
        """Nothing to start from: the mean of the label is 0 in its own units."""
        deviation = float(label.std())
        return [0.0], {"center": float(label.mean()), "deviation": deviation or 1.0}

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: Learned) -> Any:
        """As :meth:`penalty` has it."""
        target = (filled(label) - learned["center"]) / learned["deviation"]
        return weighted_mean(self.penalty(target - margin[:, 0], learned), label, weight)

    @abstractmethod
    def penalty(self, difference: Any, learned: Learned) -> Any:
        """The loss of each row, from its label less its margin, in units of the label's deviation."""

    def finish(self, margin: Any, learned: Learned) -> list[Any]:
        """The estimate in the label's own units."""
        value = margin[:, 0] * learned["deviation"] + learned["center"]
        return [value, value]


@heads.register("squared")
class Squared(_Scaled):
    """The mean of a number. Outputs: ``margin`` and ``mean``, the same."""

    loss: Literal["squared"]

    def penalty(self, difference: Any, learned: Learned) -> Any:
        """Half the square."""
        return 0.5 * difference**2


@heads.register("huber")
class Huber(_Scaled):
    """The mean of a number, less drawn by outliers (Huber, 1964). Outputs: ``margin`` and ``mean``, the same.

    Attributes:
        delta: Differences beyond this count linearly; in units of the label.
    """

    loss: Literal["huber"]
    delta: PositiveFloat = 1.0

    def penalty(self, difference: Any, learned: Learned) -> Any:
        """Half the square, or a line with the same slope."""
        import tensorflow as tf

        delta = self.delta / learned["deviation"]
        size = tf.abs(difference)
        inside = tf.minimum(size, delta)
        return inside * (size - 0.5 * inside)


@heads.register("quantile")
class Quantile(Head):
    """Quantiles of a number, never in the wrong order (pinball loss, Koenker and Bassett, 1978).

    Outputs: ``q10`` for the quantile 0.1 and so on; ``margin`` and ``mean`` are the one nearest to the median.

    Attributes:
        quantiles: Which ones, rising.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})

    loss: Literal["quantile"]
    quantiles: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = [0.1, 0.5, 0.9]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(one >= other for one, other in zip(self.quantiles, self.quantiles[1:], strict=False)):
            raise ValueError("quantiles must rise")
        return self

    @property
    def units(self) -> int:
        """One for each quantile."""
        return len(self.quantiles)

    @property
    def gives(self) -> tuple[str, ...]:
        """The middle one twice, then all."""
        return ("margin", "mean", *(f"q{100 * one:g}".replace(".", "_") for one in self.quantiles))

    def begin(self, label: Array) -> tuple[Sequence[float], Learned]:
        """The quantiles of the label."""
        import numpy as np

        center, deviation = float(label.mean()), float(label.std()) or 1.0
        lowest, *others = (np.quantile(label, self.quantiles) - center) / deviation
        gaps = np.maximum(np.diff([lowest, *others]), 1e-2)
        return [float(lowest), *np.log(np.expm1(gaps)).tolist()], {"center": center, "deviation": deviation}

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: Learned) -> Any:
        """Pinball losses, summed."""
        import tensorflow as tf

        target = (filled(label) - learned["center"]) / learned["deviation"]
        difference = target[:, None] - self._rise(margin)
        levels = tf.constant(self.quantiles, difference.dtype)
        losses = tf.maximum(levels * difference, (levels - 1) * difference)
        return weighted_mean(tf.reduce_sum(losses, axis=1), label, weight)

    def finish(self, margin: Any, learned: Learned) -> list[Any]:
        """The quantiles in the label's own units."""
        values = self._rise(margin) * learned["deviation"] + learned["center"]
        found = [values[:, position] for position in range(self.units)]
        middle = min(range(self.units), key=lambda position: abs(self.quantiles[position] - 0.5))
        return [found[middle], found[middle], *found]

    def _rise(self, margin: Any) -> Any:
        """The first quantile and steps upwards from it as quantiles."""
        import tensorflow as tf

        return tf.cumsum(tf.concat([margin[:, :1], tf.nn.softplus(margin[:, 1:])], axis=1), axis=1)


@heads.register("poisson")
class Poisson(Head):
    """How often something happens. Outputs: ``margin`` (the logarithm of the mean) and ``mean``."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"count"})
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae")

    loss: Literal["poisson"]

    @property
    def gives(self) -> tuple[str, ...]:
        """Margin and mean."""
        return ("margin", "mean")

    def begin(self, label: Array) -> tuple[Sequence[float], Learned]:
        """The logarithm of the label's mean.

        Raises:
            ValueError: There are negative counts.
        """
        import numpy as np

        if (label < 0).any():
            raise ValueError("is not a count: it holds negative values")
        return [float(np.log(max(label.mean(), 1e-6)))], {}

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: Learned) -> Any:
        """Negative log-likelihood, but for what does not depend on the margin."""
        import tensorflow as tf

        return weighted_mean(tf.exp(margin[:, 0]) - filled(label) * margin[:, 0], label, weight)

    def finish(self, margin: Any, learned: Learned) -> list[Any]:
        """The margin and its exponential."""
        import tensorflow as tf

        return [margin[:, 0], tf.exp(margin[:, 0])]
