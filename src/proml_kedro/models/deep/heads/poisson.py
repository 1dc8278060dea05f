"""``loss: poisson``: the log-likelihood of a count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from proml_kedro.models.deep.heads.base import Head, HeadState, filled, weighted_mean
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Poisson(Head):
    """How often something happens. Outputs: ``margin`` (the logarithm of the mean) and ``mean``."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"count"})
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae")

    loss: Literal["poisson"]

    @property
    def gives(self) -> tuple[str, ...]:
        """Margin and mean."""
        return ("margin", "mean")

    def begin(self, label: Array, weight: Array) -> tuple[Sequence[float], HeadState]:
        """Start at the logarithm of the label's mean.

        Raises:
            ValueError: There are negative counts.
        """
        import numpy as np

        if (label < 0).any():
            raise ValueError("is not a count: it holds negative values")
        return [float(np.log(max(np.average(label, weights=weight), 1e-6)))], {}

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the negative log-likelihood without the terms that do not depend on the margin."""
        import tensorflow as tf

        return weighted_mean(tf.exp(margin[:, 0]) - filled(label) * margin[:, 0], label, weight)

    def finish(self, margin: Any, learned: HeadState) -> list[Any]:
        """Return the margin and its exponential."""
        import tensorflow as tf

        return [margin[:, 0], tf.exp(margin[:, 0])]
