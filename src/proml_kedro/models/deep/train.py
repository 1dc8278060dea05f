"""Training: whole epochs on packed matrices inside of TensorFlow, judged by the validation period after each."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Array
from proml_kedro.models.deep.spec import DeepTrainingSpec
from proml_kedro.models.progress import progress

logger = logging.getLogger(__name__)

_STEPS = 16  # steps of training in one call of TensorFlow: enough that the calls cost nothing

_SCORED = 8192  # rows scored at once


@dataclass(frozen=True)
class Packed:
    """Examples as a network reads them.

    Attributes:
        numbers: float32 of shape (n, width).
        ids: int32 of shape (n, fields).
        label: float32 of shape (n,).
    """

    numbers: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int32]
    label: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)


def train(
    model: Any, examples: Packed, validation: Packed | None, spec: DeepTrainingSpec, epochs: int, seed: int
) -> list[float]:
    """Minimise the log loss, in random order of the examples.

    Args:
        model: From the two matrices to the margin; it ends with the best weights, or without ``validation`` the last.
        examples: To learn from.
        validation: To stop by; None for never.
        spec: Of the optimiser and of early stopping.
        epochs: How many at most.
        seed: Of the order.

    Returns:
        What early stopping goes by after each epoch, higher is better; empty without ``validation``.
    """
    judge = _judge(model, validation, spec)
    trainer = Trainer(model, examples, spec, seed)
    history: list[float] = []
    best: list[Array] = []
    with progress("epochs", epochs) as advance:
        for epoch in range(epochs):
            loss = trainer.epoch()
            advance()
            if judge is None:
                continue
            history.append(judge())
            logger.debug("epoch %d: loss %.5f, judged %.5f", epoch + 1, loss, history[-1])
            if best_epoch(history) == len(history):
                best = model.get_weights()
            elif spec.early_stopping and len(history) - best_epoch(history) >= spec.early_stopping.patience:
                break
    if best:
        model.set_weights(best)
    return history


def best_epoch(history: list[float]) -> int:
    """Number of the epoch that was best, counting from 1; of equals the first."""
    return int(np.argmax(history)) + 1


class Trainer:
    """Epochs of a model.

    The matrices stay in TensorFlow: each step gathers its rows from them, several steps to a call from Python.

    Args:
        model: From the two matrices to the margin.
        examples: To learn from.
        spec: Of the optimiser.
        seed: Of the order in which the examples come.
    """

    def __init__(self, model: Any, examples: Packed, spec: DeepTrainingSpec, seed: int) -> None:
        self._rows = len(examples)
        self._batch = min(spec.batch_size, self._rows)
        self._generator = np.random.default_rng(seed)
        self._run = _steps(model, examples, spec)

    def epoch(self) -> float:
        """See each example once, but for those that are left over from the last whole batch.

        Returns:
            The loss of the last batch.
        """
        batches = self._rows // self._batch
        rows = self._generator.permutation(self._rows)[: batches * self._batch].astype(np.int32)
        rows = rows.reshape(batches, self._batch)
        losses = [float(self._run(rows[start : start + _STEPS])) for start in range(0, batches, _STEPS)]
        if not math.isfinite(losses[-1]):
            logger.warning("the loss is no longer finite; a smaller learning rate may help")
        return losses[-1]


def _steps(model: Any, examples: Packed, spec: DeepTrainingSpec) -> Callable[[Array], Any]:
    """A function that takes a step for each line of row numbers, and returns the last loss."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(spec.learning_rate, weight_decay=spec.weight_decay or None)
    optimizer.build(model.trainable_variables)
    numbers, ids = tf.constant(examples.numbers), tf.constant(examples.ids)
    label = tf.constant(examples.label[:, None])

    def step(rows: Any) -> Any:
        with tf.GradientTape() as tape:
            margin = model([tf.gather(numbers, rows), tf.gather(ids, rows)], training=True)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.gather(label, rows), margin))
            total = tf.add_n([loss, *model.losses]) if model.losses else loss
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(total, weights), weights)
        return loss

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(batches: Any) -> Any:
        loss = tf.constant(0.0)
        for position in tf.range(tf.shape(batches)[0]):
            loss = step(batches[position])
        return loss

    return lambda batches: run(tf.constant(batches))


def _judge(model: Any, validation: Packed | None, spec: DeepTrainingSpec) -> Callable[[], float] | None:
    """A function that says how good the model is now, higher is better."""
    if validation is None or spec.early_stopping is None:
        return None
    measure = auc if spec.early_stopping.metric == "auc" else _likelihood
    scorer = Scorer(model)
    return lambda: measure(validation.label, scorer(validation.numbers, validation.ids))


def auc(label: Array, margin: Array) -> float:
    """Area under the ROC curve, by ranks (Mann and Whitney 1947); both classes must occur."""
    from scipy.stats import rankdata

    positive = label == 1
    count = int(positive.sum())
    ranks = rankdata(margin)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(label) - count)))


def _likelihood(label: Array, margin: Array) -> float:
    probability = np.clip(sigmoid(margin), 1e-12, 1 - 1e-12)
    return float(np.mean(np.where(label == 1, np.log(probability), np.log1p(-probability))))


class Scorer:
    """Margins of a model, through one traced function for any number of rows."""

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        shapes = [tf.TensorSpec((None, one.shape[-1]), one.dtype) for one in model.inputs]
        traced = tf.function(lambda numbers, ids: model([numbers, ids], training=False)[:, 0], shapes)
        self._run = traced.get_concrete_function()
        self._constant = tf.constant

    def __call__(self, numbers: npt.NDArray[np.float32], ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """The margins, shape (n,)."""
        parts = [
            self._run(self._constant(numbers[start : start + _SCORED]), self._constant(ids[start : start + _SCORED]))
            for start in range(0, max(1, len(numbers)), _SCORED)
        ]
        return np.concatenate([part.numpy() for part in parts]).astype(np.float64)
