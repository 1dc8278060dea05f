"""Raw numbers and vectors scaled by what training has learned about them, in TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

from proml_kedro.models.deep.layout import Layout
from proml_kedro.models.deep.statistics import Statistics

_FARTHEST = 10.0  # deviations from the mean; a value beyond says no more, and would drown all others


class Scaler:
    """From raw numbers and vectors to the matrix of numbers.

    All columns are computed at once, since each operation costs time.

    Args:
        layout: The order of the columns.
        statistics: What training has learned.
    """

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        self._layout = layout
        plain = [[0.0, 1.0] if one.scaling == "quantile" else statistics.scales[one.name] for one in layout.numbers]
        sizes = [statistics.scales[one.name][0] for one in layout.vectors for _ in range(one.size)]
        self._means = np.array([*(mean for mean, _ in plain), *(0.0 for _ in sizes)])
        self._deviations = np.array([*(deviation for _, deviation in plain), *sizes])
        self._logs = np.array([*(one.scaling == "log" for one in layout.numbers), *(False for _ in sizes)])
        self._marked = np.array([one.name not in statistics.complete for one in layout.numbers])
        self._ranked = [position for position, one in enumerate(layout.numbers) if one.scaling == "quantile"]
        cuts, ranks = [], []
        for position in self._ranked:
            steps = statistics.scales[layout.numbers[position].name]
            values, first, same = np.unique(steps, return_index=True, return_counts=True)
            middle = first + (same - 1) / 2  # equal values have the middle of their ranks
            cuts.append(values.tolist())
            ranks.append((2 * middle / max(len(steps) - 1, 1) - (len(steps) > 1)).tolist())
        longest = max(map(len, cuts), default=0)
        self._cuts = np.array([one + one[-1:] * (longest + 1 - len(one)) for one in cuts])
        self._ranks = np.array([one + one[-1:] * (longest + 1 - len(one)) for one in ranks])

    def __call__(self, raw: Any) -> Any:
        """Scale numbers and vectors.

        Args:
            raw: float64 of shape (n, raw numbers): numbers, vectors, bucketed numbers.

        Returns:
            Scaled numbers and vectors with 0 for missing, then indicators; float32 of shape (n, width).
        """
        import tensorflow as tf

        values = raw[:, : len(self._means)]
        missing = tf.math.is_nan(values)
        scaled = values
        if self._logs.any():
            scaled = tf.where(self._logs, tf.sign(values) * tf.math.log1p(tf.abs(values)), values)
        scaled = tf.clip_by_value((scaled - self._means) / self._deviations, -_FARTHEST, _FARTHEST)
        if self._ranked:
            scaled = self._with_ranks(values, scaled)
        parts = [tf.cast(tf.where(missing, tf.zeros_like(scaled), scaled), tf.float32)]
        if self._layout.indicators:
            marks = missing[:, : len(self._layout.numbers)]
            if not self._marked.all():  # nothing has trained the weights of an indicator that was never on
                marks &= self._marked
            parts.append(tf.cast(marks, tf.float32))
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def _with_ranks(self, values: Any, scaled: Any) -> Any:
        """Replace the columns of numbers that are scaled by ``quantile`` by ranks from -1 to 1."""
        import tensorflow as tf

        chosen = tf.transpose(tf.gather(values, self._ranked, axis=1))
        cuts = tf.constant(self._cuts)
        above = tf.searchsorted(cuts, chosen, side="right") - 1
        below = tf.clip_by_value(above, 0, self._cuts.shape[1] - 2)
        low, high = (tf.gather(cuts, below + step, batch_dims=1) for step in (0, 1))
        first, second = (tf.gather(tf.constant(self._ranks), below + step, batch_dims=1) for step in (0, 1))
        share = tf.clip_by_value(tf.math.divide_no_nan(chosen - low, high - low), 0.0, 1.0)
        ranks = tf.transpose(first + share * (second - first))
        order = np.arange(len(self._means))
        order[self._ranked] = len(order) + np.arange(len(self._ranked))
        return tf.gather(tf.concat([scaled, ranks], axis=1), order, axis=1)
