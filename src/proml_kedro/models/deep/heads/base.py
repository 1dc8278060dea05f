"""What a head is: its YAML, the loss it is trained by, and the outputs it makes of its margins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import PositiveFloat, SerializeAsAny, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from proml_kedro.extensions import Registry, UnknownNameError
from proml_kedro.models.deep.blocks import References
from proml_kedro.spec.base import Name, Spec
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array

Learned = Mapping[str, float]
"""What a head has learned besides the weights of the network, such as the mean of its label."""


class Head(Spec):
    """What is learned from the graph: margins, the sum of what the head reads and a bias, and a loss for them.

    What is one number wide enters a single margin as it is, everything else through a dense layer.

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
        """How many margins there are."""
        return 1

    @property
    @abstractmethod
    def gives(self) -> tuple[str, ...]:
        """Names of the outputs."""

    @abstractmethod
    def begin(self, label: Array) -> tuple[Sequence[float], Learned]:
        """Where the biases start, and what else is learned before training.

        Args:
            label: Those of the training period that are known, shape (n,).

        Raises:
            ValueError: It cannot learn these; the message is for the user.
        """

    @abstractmethod
    def loss_of(self, label: Any, margin: Any, weight: Any, learned: Learned) -> Any:
        """The loss of a batch, a TensorFlow scalar.

        Args:
            label: Float tensor of shape (n,), NaN where not known; (lists, length) when :attr:`by_group`.
            margin: Float tensor of shape (n, units); (lists, length) when :attr:`by_group`.
            weight: Float tensor of the label's shape, not negative.
            learned: As :meth:`begin` returned it.
        """

    @abstractmethod
    def finish(self, margin: Any, learned: Learned) -> list[Any]:
        """The outputs, TensorFlow tensors of shape (n,), from margins of shape (n, units) in float64."""

    def calibrate(self, label: Array, margin: Array, learned: Learned) -> Learned:
        """What is learned after training, from known labels and margins of shape (n, units) that did not train it."""
        return learned

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """What a head with this loss may say."""
        try:
            chosen: type[Spec] = heads.get(str(value.get("loss", "binary"))) if isinstance(value, dict) else cls
        except UnknownNameError:
            return cls
        return chosen


heads: Registry[Any] = Registry("loss", "proml_kedro.heads")
"""Classes that implement :class:`Head`, by their loss."""


def _pick_head(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, dict):
        return handler(value)
    try:
        chosen = heads.get(str(value.get("loss", "binary")))
    except UnknownNameError as error:
        raise PydanticCustomError("head", "loss: {message}", {"message": str(error)}) from error
    return chosen.model_validate(value)


AnyHead = Annotated[SerializeAsAny[Head], WrapValidator(_pick_head)]


def weighted_mean(losses: Any, label: Any, weight: Any) -> Any:
    """Mean of losses over the rows whose label is known; 0 when there is none."""
    import tensorflow as tf

    known = tf.where(tf.math.is_nan(label), 0.0, weight)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * known), tf.reduce_sum(known))


def filled(label: Any) -> Any:
    """The label with 0 where it is not known."""
    import tensorflow as tf

    return tf.where(tf.math.is_nan(label), 0.0, label)
