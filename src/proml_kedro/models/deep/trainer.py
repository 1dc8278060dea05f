"""Epochs of training on packed matrices, several steps to a call of TensorFlow."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proml_kedro.models.deep import batches
from proml_kedro.models.deep.build import run as call
from proml_kedro.models.deep.data import ExampleParts, PackedExamples
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.loss import total_loss
from proml_kedro.models.deep.optimizers import Optimizer, optimizer_of
from proml_kedro.models.deep.schedule import learning_rate
from proml_kedro.models.deep.training_spec import DeepTrainingSpec
from proml_kedro.models.deep.unknown import Draw, Hiding

logger = logging.getLogger(__name__)

_STEPS = 16  # steps of training in one call of TensorFlow: enough that the calls cost nothing


@dataclass(frozen=True)
class TrainingTask:
    """A network to train, and how.

    Attributes:
        model: From the two matrices to the margins of each head, then whatever is exposed.
        heads: The heads in the order of the margins, each with what it learned before training.
        spec: Of the optimiser and of early stopping.
        seed: Of the order of the examples.
        strategy: ``tf.distribute.Strategy`` in whose scope the model was made.
        hiding: Which ids are taken for unknown.
    """

    model: Any
    heads: Sequence[tuple[Head, HeadState]]
    spec: DeepTrainingSpec
    seed: int
    strategy: Any
    hiding: Hiding

    @property
    def by_group(self) -> bool:
        """Tell whether a batch holds whole groups."""
        return any(head.by_group for head, _ in self.heads)


class Trainer:
    """Training of a model, epoch by epoch.

    The matrices stay in TensorFlow: each step gathers its rows from them, several steps to a call from Python.

    Args:
        task: What is trained.
        examples: To learn from.

    Attributes:
        optimizer: That of the declaration.
    """

    def __init__(self, task: TrainingTask, examples: ExampleParts) -> None:
        self._task = task
        self._examples = examples
        with task.strategy.scope():
            self.optimizer = optimizer_of(task.spec, task.model.trainable_variables)
        self._run = _steps(task, self.optimizer)
        self._kept = _as_tensors(examples[0]) if examples.are_kept else None

    def epoch(self, number: int) -> float:
        """Train on each example once, except single rows left over from the last whole batch of a part.

        Args:
            number: Of the epoch, from 0; the order of the examples follows from it.

        Returns:
            The loss of the last batch.
        """
        generator = np.random.default_rng([self._task.seed, number])
        loss, done = math.nan, 0
        for position in generator.permutation(len(self._examples.lengths)).tolist():
            part = self._examples[position]
            tensors = self._kept or _as_tensors(part)
            rows = self._rows(part, generator)
            drawn = self._task.hiding.draw(self._task.seed, number, position)
            shares = (done + len(part) * (np.arange(len(rows)) + 0.5) / len(rows)) / len(self._examples)
            rates = [learning_rate(self._task.spec, number + share) for share in shares.tolist()]
            for start in range(0, len(rows), _STEPS):
                some = slice(start, start + _STEPS)
                loss = self._run(tensors, rows[some], rates[some], drawn)
            done += len(part)
        if not math.isfinite(loss):
            logger.warning("the loss is no longer finite; a smaller learning rate may help")
        return loss

    def _rows(self, part: PackedExamples, generator: np.random.Generator) -> list[batches.Batch]:
        replicas = self._task.strategy.num_replicas_in_sync
        size = self._task.spec.batch_size
        if self._task.by_group:
            return batches.grouped(part.group, size, generator, replicas)
        return batches.single(len(part), max(replicas, min(size, len(part)) // replicas * replicas), generator)


def _as_tensors(part: PackedExamples) -> tuple[Any, ...]:
    import tensorflow as tf

    return tuple(tf.constant(one) for one in (part.numbers, part.ids, part.labels, part.weight))


def _steps(task: TrainingTask, optimizer: Optimizer) -> Callable[..., float]:
    """Make a function of a part's tensors, batches, learning rates and the draw of hidden ids: a step for each batch.

    It returns the loss of the last one.
    """
    import tensorflow as tf

    model, strategy = task.model, task.strategy
    replicas = strategy.num_replicas_in_sync

    def step(part: Any, lists: Any, drawn: Any) -> Any:
        numbers, ids, labels, weight = part
        if replicas > 1:  # each device takes its share of the batch
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            lists = tf.reshape(lists, [replicas, -1, tf.shape(lists)[1]])[number]
        rows = tf.reshape(lists, [-1])
        if task.by_group:  # the network is given no padding: it would count in the statistics of a batch
            rows = tf.boolean_mask(rows, rows != batches.PADDING)
        known = task.hiding.hide(tf.gather(ids, rows), rows, drawn)
        with tf.GradientTape() as tape:
            outputs = call(model, tf.gather(numbers, rows), known, training=True)
            loss = total_loss(task.heads, outputs, tf.gather(labels, rows), tf.gather(weight, rows), lists)
            total = tf.add_n([loss, *model.losses]) if model.losses else loss
            total = total / replicas  # the optimiser sums the gradients of all devices
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(total, weights), weights)
        return loss

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(part: Any, cells: Any, shapes: Any, rates: Any, drawn: Any) -> Any:
        loss, start = tf.constant(0.0), tf.constant(0)
        for position in tf.range(tf.shape(rates)[0]):
            end = start + tf.reduce_prod(shapes[position])
            lists = tf.reshape(cells[start:end], shapes[position])
            start = end
            optimizer.learning_rate.assign(rates[position])
            if replicas > 1:
                each = strategy.run(step, args=(part, lists, drawn))
                loss = strategy.reduce(tf.distribute.ReduceOp.MEAN, each, axis=None)
            else:
                loss = step(part, lists, drawn)
        return loss

    def run_batches(part: tuple[Any, ...], some: Sequence[batches.Batch], rates: Sequence[float], drawn: Draw) -> float:
        cells, shapes = np.concatenate([one.ravel() for one in some]), np.array([one.shape for one in some], np.int32)
        return float(run(part, *(tf.constant(one) for one in (cells, shapes, rates, drawn))))

    return run_batches
