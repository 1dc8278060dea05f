"""One smallest entry of each open registry, as a package of a user's could hold it. The page of extensions shows them.

``tests/contract/test_examples.py`` proves each by its law.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np

from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.evaluation.metric import Metric, RankingMetric
from proml_kedro.extensions import (
    aggregates,
    anomaly_detectors,
    blocks,
    drift_checks,
    heads,
    layers,
    metrics,
    producers,
    ranking_metrics,
    splits,
    table_readers,
)
from proml_kedro.features.tables.readers import TableReader
from proml_kedro.features.views.aggregates import Aggregate, finite
from proml_kedro.health.anomalies.detector import Band, Detector
from proml_kedro.health.check import DriftCheck
from proml_kedro.models.deep.blocks import Block, flat
from proml_kedro.models.deep.heads import Head
from proml_kedro.models.producers import Producer
from proml_kedro.spec.anomalies import DetectorSpec
from proml_kedro.spec.monitoring import DriftCheckSpec
from proml_kedro.spec.split import SplitSpec


@producers.register("opposite")
class Opposite(Producer):
    """A number with the other sign: `minus_price: {kind: opposite, of: shop.price}`."""

    count: ClassVar = 1
    kind: Literal["opposite"]

    def compute(self, values):
        return -values[0]


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
        before, now = pair.bins
        if not before.sum() or not now.sum():
            return math.nan
        return abs(float(before[0] / before.sum() - now[0] / now.sum()))

    def limit(self, column, movement):
        return self.limits.change

    def describe(self, pair, size, limit):
        return f"the share of the lowest values changed by {size:.0%}"

    def example(self):
        return np.linspace(0, 1, 1000), np.zeros(1000)


@anomaly_detectors.register("record")
class Record(Detector):
    """What is above or below all earlier periods, by a factor."""

    class Settings(DetectorSpec):
        factor: float = 1.1

    def band(self, series):
        values = np.where(np.isnan(series.values), -np.inf, series.values)
        highest = np.maximum.accumulate(values, axis=1)
        before = np.concatenate([np.full((len(values), 1), np.nan), highest[:, :-1]], axis=1)
        before = np.where(np.isinf(before), np.nan, before)
        return Band(before, np.full_like(before, -np.inf), self.settings.factor * before)


@aggregates.register("geometric_mean")
class GeometricMean(Aggregate):
    """The geometric mean of the positive, finite values in a window; others take no part."""

    example: ClassVar = {"expression": "abs(x) + 0.1"}
    agg: Literal["geometric_mean"]

    def event_value(self):
        value = finite(super().event_value())
        return f"CASE WHEN {value} > 0 THEN {value} END"

    def partials(self, slot):
        return {"n": f"count({slot.value})", "s": f"fsum(ln({slot.value}))"}

    def final(self, slot, frame):
        return f"exp(fsum({slot.column('s')}) OVER {frame} / nullif(sum({slot.column('n')}) OVER {frame}, 0))"

    def of_events(self, events, at):
        return math.exp(math.fsum(math.log(one.value) for one in events) / len(events)) if events else None


@table_readers.register("fixed_width")
class FixedWidth(TableReader):
    """Lines without a header, whose columns have fixed widths; blanks are null."""

    suffixes: ClassVar = (".fwf",)
    widths: dict[str, int]

    def relation(self, files, session):
        columns, start = [], 1
        for name, width in self.widths.items():
            columns.append(f"nullif(trim(substr(line, {start}, {width})), '') AS {quote(name)}")
            start += width
        dialect = "delim = '\x1f', quote = '', escape = '', header = false, auto_detect = false"
        lines = f"read_csv({literal(str(files[0]))}, columns = {{line: 'VARCHAR'}}, {dialect})"
        return session.relation(f"(SELECT {', '.join(columns)} FROM {lines})")

    @classmethod
    def sample(cls, rows, folder):
        text = [["" if one is None else str(one) for one in row.values()] for row in rows.to_pylist()]
        (folder / "rows.fwf").write_text("".join("".join(one.ljust(12) for one in row) + "\n" for row in text))
        return {"source": "rows.fwf", "widths": {"n": 12, "x": 12, "s": 12}, "types": {"n": "BIGINT", "x": "DOUBLE"}}


@splits.register("hash")
class HashSplit(SplitSpec):
    """By the hash of a column: all examples of one value are on one side."""

    example: ClassVar = {"column": "user", "percent": 30}
    by: Literal["hash"]
    column: str
    percent: int

    def sql(self, timestamp):
        place = f"hash({quote(self.column)}) % 100"
        later = f"WHEN {place} < {2 * self.percent} THEN 'validation' ELSE 'train'"
        return f"CASE WHEN {place} < {self.percent} THEN 'test' {later} END"

    def columns(self):
        yield self.column, "column"


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

    def begin(self, label, weight):
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
