"""``loss: quantile``: quantiles of a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from proml_kedro.models.deep.accumulators import mean_and_deviation, weighted_quantiles
from proml_kedro.models.deep.heads.base import Head, HeadState, filled, weighted_mean
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from typing import Self

    from proml_kedro.models.component import Array


class Quantile(Head):
    """Quantiles of a number, never in the wrong order (pinball loss; Koenker and Bassett, Econometrica 1978).

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
        """Number of quantiles: a margin for each."""
        return len(self.quantiles)

    @property
    def gives(self) -> tuple[str, ...]:
        """Margin and mean, both the quantile nearest to the median, then all quantiles."""
        return ("margin", "mean", *(f"q{100 * one:g}".replace(".", "_") for one in self.quantiles))

    def begin(self, label: Array, weight: Array) -> tuple[Sequence[float], HeadState]:
        """Start at the quantiles of the label."""
        import numpy as np

        center, deviation = mean_and_deviation(label, weight)
        lowest, *others = (weighted_quantiles(label, weight, self.quantiles) - center) / deviation
        gaps = np.maximum(np.diff([lowest, *others]), 1e-2)
        return [float(lowest), *np.log(np.expm1(gaps)).tolist()], {"center": center, "deviation": deviation}

    def origin(self, learned: HeadState) -> float:
        """Return the mean of the label."""
        return learned["center"]

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the sum of the pinball losses."""
        import tensorflow as tf

        target = filled(label) / learned["deviation"]
        difference = target[:, None] - self._rise(margin)
        levels = tf.constant(self.quantiles, difference.dtype)
        losses = tf.maximum(levels * difference, (levels - 1) * difference)
        return weighted_mean(tf.reduce_sum(losses, axis=1), label, weight)

    def finish(self, margin: Any, learned: HeadState) -> list[Any]:
        """Return the quantiles in the label's own units."""
        values = self._rise(margin) * learned["deviation"] + learned["center"]
        found = [values[:, position] for position in range(self.units)]
        middle = min(range(self.units), key=lambda position: abs(self.quantiles[position] - 0.5))
        return [found[middle], found[middle], *found]

    def _rise(self, margin: Any) -> Any:
        """Turn the lowest quantile and the logarithmic steps above it into quantiles; shape (n, units)."""
        import tensorflow as tf

        return tf.cumsum(tf.concat([margin[:, :1], tf.nn.softplus(margin[:, 1:])], axis=1), axis=1)
