"""The protocol of heads: their YAML, the loss they are trained by, and the outputs they make of their margins.

:func:`proml_kedro.testing.check_head` proves the laws of a kind.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PositiveFloat

from proml_kedro.extensions import UnknownNameError, heads
from proml_kedro.models.deep.blocks import References
from proml_kedro.spec.base import Name, Spec
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array

HeadState = Mapping[str, float]
"""What a head has learned besides the weights of the network, such as the mean of its label."""


class Head(Spec):
    """One thing that is learned from the graph: margins, and a loss for them.

    A margin is the sum of what the head reads and a bias. What a block gives that is one number wide enters a single
    margin as it is, everything else through a dense layer.

    Attributes:
        loss: What training minimises.
        of: Blocks, and whatever else a block can read.
        label: One of the problem's auxiliary labels; the problem's own label when left out.
        weight: How much the loss counts beside those of other heads.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset()
    """The tasks whose label it can learn; any auxiliary label is for whoever names it."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """What early stopping can go by besides ``loss``; see :mod:`proml_kedro.models.deep.metrics`."""
    by_group: ClassVar[bool] = False
    """Whether the loss compares rows of a group."""

    loss: str = "binary"
    of: References
    label: Name | None = None
    weight: PositiveFloat = 1.0

    @property
    def units(self) -> int:
        """Number of margins."""
        return 1

    @property
    @abstractmethod
    def gives(self) -> tuple[str, ...]:
        """Names of the outputs."""

    @abstractmethod
    def begin(self, label: Array, weight: Array) -> tuple[Sequence[float], HeadState]:
        """Compute where the biases start, and what else is learned before training.

        Args:
            label: Known labels of the training period, shape (n,).
            weight: How much each row counts, positive, shape (n,): 2 is the row twice.

        Returns:
            A bias for each margin, and what :meth:`loss_of` and :meth:`finish` are given.

        Raises:
            ValueError: It cannot learn these labels; the message is for the user.
        """

    def origin(self, learned: HeadState) -> float:
        """Return what is taken off labels before they become float32, so that nothing is lost of large ones.

        Args:
            learned: As :meth:`begin` returned it.
        """
        return 0.0

    @abstractmethod
    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the loss of a batch, a TensorFlow scalar.

        Args:
            label: Float tensor of shape (n,), less :meth:`origin`, NaN where not known; (lists, length) when
                :attr:`by_group`.
            margin: Float tensor of shape (n, units); (lists, length) when :attr:`by_group`.
            weight: Float tensor of the label's shape, not negative.
            learned: As :meth:`begin` returned it.
        """

    @abstractmethod
    def finish(self, margin: Any, learned: HeadState) -> list[Any]:
        """Compute the outputs, TensorFlow tensors of shape (n,).

        Args:
            margin: float64 tensor of shape (n, units).
            learned: As :meth:`begin` or :meth:`calibrate` returned it.
        """

    def calibrate(self, label: Array, margin: Array, weight: Array, learned: HeadState) -> HeadState:
        """Learn what the margins of rows that did not train the network show.

        Args:
            label: Known labels, shape (n,).
            margin: Shape (n, units).
            weight: How much each row counts, positive, shape (n,): 2 is the row twice.
            learned: As :meth:`begin` returned it.

        Returns:
            What :meth:`finish` is given from now on.
        """
        return learned

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the class of the loss that a piece of YAML names."""
        try:
            chosen: type[Spec] = heads.get(str(value.get("loss", "binary"))) if isinstance(value, dict) else cls
        except UnknownNameError:
            return cls
        return chosen


AnyHead = heads.field(Head, lambda head: head, "loss", "binary", prefix="loss: ")
"""A head of any kind, which its ``loss`` names."""


def weighted_mean(losses: Any, label: Any, weight: Any) -> Any:
    """Average losses over the rows whose label is known; 0 when there is none.

    Args:
        losses: Float tensor of shape (n,).
        label: Float tensor of shape (n,), NaN where not known.
        weight: Float tensor of shape (n,).
    """
    import tensorflow as tf

    known = tf.where(tf.math.is_nan(label), 0.0, weight)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * known), tf.reduce_sum(known))


def filled(label: Any) -> Any:
    """Replace labels that are not known by 0, so that no gradient becomes NaN."""
    import tensorflow as tf

    return tf.where(tf.math.is_nan(label), 0.0, label)
