"""One smallest entry of each open registry, as a package of a user's could hold it. The page of extensions shows them.

``tests/contract/test_examples.py`` proves each by its law.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from proml_kedro.evaluation.metric import Metric, RankingMetric
from proml_kedro.extensions import blocks, drift_checks, heads, layers, metrics, ranking_metrics
from proml_kedro.health.check import DriftCheck
from proml_kedro.models.deep.blocks import Block, flat
from proml_kedro.models.deep.heads import Head
from proml_kedro.spec.monitoring import DriftCheckSpec


@metrics.register("squared_error")
class SquaredError(Metric):
    """Mean squared error."""

    tasks = ("binary", "regression")
    higher_is_better = False
    meaning = "mean squared error"

    def compute(self, label, score, weight):
        return float((weight * (score - label) ** 2).sum() / weight.sum())


@ranking_metrics.register("hit")
class Hit(RankingMetric):
    """Share of groups with a positive row among the first k: `hit@3`."""

    meaning = "share of groups whose first {k} rows hold a positive one"

    def compute(self, groups, k):
        return np.minimum(groups.sum(groups.positive & (groups.place <= k)), 1)


@drift_checks.register("zeros")
class Zeros(DriftCheck):
    """Another share of rows in the reference's first bin."""

    class Limits(DriftCheckSpec):
        change: float = 0.1

    def size(self, pair):
        before, now = (counts[0] / max(sum(counts), 1) for counts in pair.bins)
        return abs(float(now - before))

    def limit(self, column, movement):
        return self.limits.change

    def describe(self, pair, size, limit):
        return f"the share of the lowest values changed by {size:.0%}"

    def example(self):
        return np.arange(1000.0), np.zeros(1000)


@blocks.register("gate")
class Gate(Block):
    """The last vector, each number of it weighted by all vectors before."""

    block: Literal["gate"]

    def width(self, parts):
        return parts[-1]

    def build(self, name, values):
        import keras

        return keras.layers.Dense(values[-1].shape[-1], activation="sigmoid", name=name)(flat(values)) * values[-1]


@heads.register("hinge")
class Hinge(Head):
    """A class with a margin around the border (hinge loss)."""

    tasks: ClassVar = frozenset({"binary"})
    metrics: ClassVar = ("auc",)
    loss: Literal["hinge"]

    @property
    def gives(self):
        return ("margin", "probability")

    def begin(self, label):
        return [0.0], {}

    def loss_of(self, label, margin, weight, learned):
        import tensorflow as tf

        known = tf.where(tf.math.is_nan(label), 0.0, weight)
        losses = tf.nn.relu(1 - (2 * tf.where(tf.math.is_nan(label), 0.0, label) - 1) * margin[:, 0])
        return tf.math.divide_no_nan(tf.reduce_sum(losses * known), tf.reduce_sum(known))

    def finish(self, margin, learned):
        import tensorflow as tf

        return [margin[:, 0], tf.sigmoid(2 * margin[:, 0])]


@layers.register("Halve")
def halve(name):
    """A Keras layer of any kind: `layer: Halve`."""
    import keras

    return keras.layers.Rescaling(0.5, name=name)
