"""Optimisers by name. Two of them move only the rows of a table that a batch has met: their cost is not the table's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from proml_kedro.models.deep.training_spec import DeepTrainingSpec

_TABLE = "embeddings"  # what Keras calls the weights of a table
_START = 0.1  # of Adagrad's sums, as Keras and TensorFlow begin them
_EPSILON = 1e-7
_KEEP_MEAN, _KEEP_SQUARE = 0.9, 0.999


class Optimizer(Protocol):
    """What training asks of an optimiser.

    Attributes:
        learning_rate: Variable that is assigned before each step.
    """

    learning_rate: Any

    @property
    def variables(self) -> Sequence[Any]:
        """List all of its state, for checkpoints."""

    def apply(self, gradients: Sequence[Any], weights: Sequence[Any]) -> None:
        """Move the weights by gradients in their order: tensors, or ``tf.IndexedSlices`` in which rows may repeat."""


def optimizer_of(spec: DeepTrainingSpec, weights: Sequence[Any]) -> Optimizer:
    """Make the optimiser that a declaration names.

    Args:
        spec: The declaration.
        weights: What it moves: the trainable variables of a model.
    """
    if spec.optimizer == "adam":
        return _Adam(spec.weight_decay, weights)
    return _ByRow(weights, _LazyAdam if spec.optimizer == "lazy_adam" else _Adagrad)


def summed(gradient: Any) -> Any:
    """Add up the parts of a gradient that belong to one row of a table.

    Keras squares them one by one for Adam, so that a category that is 400 times in a batch would move 20 steps at once.
    Nothing is lost by a tensor as large as the table: Adam moves the means of every row, and Keras makes that tensor
    twice.

    Args:
        gradient: Tensor, or ``tf.IndexedSlices`` in which rows may repeat.
    """
    import tensorflow as tf

    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


class _Adam:
    """Keras' Adam (Kingma and Ba, ICLR 2015), of summed gradients."""

    def __init__(self, weight_decay: float, weights: Sequence[Any]) -> None:
        import keras

        self._adam = keras.optimizers.Adam(1.0, weight_decay=weight_decay or None)
        self._adam.build(weights)
        self.learning_rate = self._adam.learning_rate

    @property
    def variables(self) -> Sequence[Any]:
        found: Sequence[Any] = self._adam.variables
        return found

    def apply(self, gradients: Sequence[Any], weights: Sequence[Any]) -> None:
        self._adam.apply([summed(one) for one in gradients], weights)


class _Rule(Protocol):
    """State of one weight, and what a step of it is."""

    @property
    def state(self) -> Sequence[Any]:
        """List the variables."""

    def change(self, gradient: Any, rows: Any) -> Any:
        """Update the state of rows, or of all where there are none, and return the step for a learning rate of 1."""


class _ByRow:
    """Moves the rows of tables that a gradient names, once each, and everything else as a whole.

    Args:
        weights: What it moves.
        rule: Makes the state of a weight.
    """

    def __init__(self, weights: Sequence[Any], rule: type[_LazyAdam | _Adagrad]) -> None:
        import tensorflow as tf

        self.learning_rate = tf.Variable(0.0, trainable=False)
        self._rules: list[_Rule] = [rule(one.value, one.name == _TABLE) for one in weights]

    @property
    def variables(self) -> Sequence[Any]:
        return [self.learning_rate, *(one for rule in self._rules for one in rule.state)]

    def apply(self, gradients: Sequence[Any], weights: Sequence[Any]) -> None:
        import tensorflow as tf

        for gradient, weight, rule in zip(gradients, weights, self._rules, strict=True):
            table = weight.value
            if gradient is None:  # nothing that is learned depends on it
                continue
            if isinstance(gradient, tf.IndexedSlices):
                rows, places = tf.unique(gradient.indices)
                sums = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
                step = self.learning_rate * rule.change(sums, rows)
                table.scatter_sub(tf.IndexedSlices(step, rows))
            else:
                table.assign_sub(self.learning_rate * rule.change(gradient, None))


class _LazyAdam:
    """Adam whose means of a row move when the row is met; they are corrected by how often that was."""

    def __init__(self, weight: Any, is_table: bool) -> None:
        self._mean, self._square = _filled(weight.shape, 0.0), _filled(weight.shape, 0.0)
        self._times = _filled([weight.shape[0], 1] if is_table else [1] * weight.shape.rank, 0.0)

    @property
    def state(self) -> Sequence[Any]:
        return [self._mean, self._square, self._times]

    def change(self, gradient: Any, rows: Any) -> Any:
        import tensorflow as tf

        times = _put(self._times, rows, _of(self._times, rows) + 1)
        mean = _put(self._mean, rows, _KEEP_MEAN * _of(self._mean, rows) + (1 - _KEEP_MEAN) * gradient)
        square = _of(self._square, rows)
        square = _put(self._square, rows, _KEEP_SQUARE * square + (1 - _KEEP_SQUARE) * tf.square(gradient))
        rate = tf.sqrt(1 - _KEEP_SQUARE**times) / (1 - _KEEP_MEAN**times)
        return rate * mean / (tf.sqrt(square) + _EPSILON)


class _Adagrad:
    """Adagrad (Duchi, Hazan and Singer, JMLR 2011), of a table one sum a row: the mean square of the row's gradient.

    That is the row-wise form of Mudigere et al., "Software-hardware co-design for fast and scalable training of deep
    learning recommendation models", ISCA 2022.
    """

    def __init__(self, weight: Any, is_table: bool) -> None:
        self._is_table = is_table
        self._sum = _filled([weight.shape[0], 1] if is_table else weight.shape, _START)

    @property
    def state(self) -> Sequence[Any]:
        return [self._sum]

    def change(self, gradient: Any, rows: Any) -> Any:
        import tensorflow as tf

        square = tf.square(gradient)
        if self._is_table:
            square = tf.reduce_mean(square, axis=1, keepdims=True)
        total = _put(self._sum, rows, _of(self._sum, rows) + square)
        return gradient / (tf.sqrt(total) + _EPSILON)


def _filled(shape: Any, value: float) -> Any:
    import tensorflow as tf

    return tf.Variable(tf.fill(shape, value), trainable=False)


def _of(variable: Any, rows: Any) -> Any:
    import tensorflow as tf

    return variable.read_value() if rows is None else tf.gather(variable, rows)


def _put(variable: Any, rows: Any, values: Any) -> Any:
    """Write rows of a variable, or all of it, and return what was written."""
    import tensorflow as tf

    if rows is None:
        variable.assign(values)
    else:
        variable.scatter_update(tf.IndexedSlices(values, rows))
    return values
