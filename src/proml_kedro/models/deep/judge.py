"""How good a network is on examples that do not train it: what early stopping goes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.deep import batches
from proml_kedro.models.deep.build import run
from proml_kedro.models.deep.data import ExampleParts
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.loss import total_loss
from proml_kedro.models.deep.metrics import METRICS

_SCORED = 8192  # rows scored at once
_LISTS = 1024  # lists compared at once


class Judge:
    """A measure of a network, taken again and again on the same examples.

    Args:
        model: From the two matrices to the margins of each head, then whatever is exposed.
        heads: Each with what it learned before training, in the order of the margins.
        examples: The validation period.
        by: Position of the head that counts, and its metric; None for the loss of all heads.

    Attributes:
        labels: float32 of shape (n, heads), each less the origin of its head, NaN where not known.
        weight: float32 of shape (n,).
    """

    def __init__(
        self, model: Any, heads: Sequence[tuple[Head, HeadState]], examples: ExampleParts, by: tuple[int | None, str]
    ) -> None:
        import tensorflow as tf

        shapes = [tf.TensorSpec((None, one.shape[-1]), one.dtype) for one in model.inputs]
        traced = tf.function(lambda numbers, ids: run(model, numbers, ids, training=False)[: len(heads)], shapes)
        self._run = traced.get_concrete_function()
        self._heads = heads
        self._examples = examples
        self._by = by
        parts = list(examples)
        self.labels = np.concatenate([part.labels for part in parts])
        self.weight = np.concatenate([part.weight for part in parts])
        self._group = np.concatenate([part.group for part in parts])

    def __call__(self) -> float:
        """Measure how good it is now; higher is better."""
        margins = self.margins()
        position, metric = self._by
        if metric == "loss":
            return -self._loss(margins, range(len(self._heads)) if position is None else [position])
        head, learned = self._heads[position or 0]
        label = self.label_of(position or 0)
        known = ~np.isnan(label) & (self.weight > 0)
        outputs = head.finish(margins[position or 0][known].astype(np.float64), learned)
        function, output = METRICS[metric]
        judged = np.asarray(outputs[head.gives.index(output)])
        return function(label[known], judged, self.weight[known], self._group[known])

    def label_of(self, position: int) -> Array:
        """Return the labels of a head, as they are; float64 of shape (n,), NaN where not known."""
        head, learned = self._heads[position]
        return self.labels[:, position].astype(np.float64) + head.origin(learned)

    def margins(self) -> list[Array]:
        """Compute the present margins of each head, shape (n, units)."""
        import tensorflow as tf

        found: list[list[Array]] = [[] for _ in self._heads]
        for part in self._examples:
            for start in range(0, len(part), _SCORED):
                rows = slice(start, start + _SCORED)
                outputs = self._run(tf.constant(part.numbers[rows]), tf.constant(part.ids[rows]))
                for margins, output in zip(found, outputs, strict=True):
                    margins.append(output.numpy())
        return [np.concatenate(one) for one in found]

    def _loss(self, margins: Sequence[Array], positions: Sequence[int]) -> float:
        """Add up the losses of heads, times their weights."""
        return sum(self._loss_of(position, margins[position]) for position in positions)

    def _loss_of(self, position: int, margins: Array) -> float:
        head = self._heads[position]
        labels = self.labels[:, [position]]
        if not head[0].by_group:
            return float(total_loss([head], [margins], labels, self.weight, None))
        lists = batches.as_lists(self._group, np.arange(len(margins)))
        real = lists != batches.PADDING
        counts = np.sum(np.where(real, self.weight[lists], 0.0), axis=1) / np.sum(real, axis=1)
        total = 0.0
        for start in range(0, len(lists), _LISTS):
            some = batches.trimmed(lists[start : start + _LISTS])
            rows = some[some != batches.PADDING]
            loss = total_loss([head], [margins[rows]], labels[rows], self.weight[rows], some)
            total += float(loss) * float(counts[start : start + _LISTS].sum())
        return total / float(counts.sum())
