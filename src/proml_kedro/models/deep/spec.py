"""The YAML of ``kind: deep``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from proml_kedro.errors import Mistake
from proml_kedro.models.deep.blocks import AnyBlock
from proml_kedro.models.deep.features import DeepFeaturesSpec
from proml_kedro.models.deep.heads import AnyHead, Head
from proml_kedro.spec.base import Name, Spec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import ProblemSpec, Task


class EarlyStoppingSpec(Spec):
    """When to stop; the best weights are kept.

    Attributes:
        metric: By which the validation period is judged: ``loss``, what training minimises; ``auc`` or ``logloss`` of a
            truth value, ``rmse`` or ``mae`` of a number, ``ndcg`` (of the first ten) or ``auc`` of a ranking. Of
            several heads it is the first's that has it; ``HEAD.METRIC`` names another one's.
        patience: Epochs without improvement to wait for.
    """

    metric: str = "loss"
    patience: PositiveInt = 2


class ScheduleSpec(Spec):
    """A learning rate that changes over the epochs.

    Attributes:
        schedule: ``cosine`` and ``linear`` fall to ``end`` at the last of ``epochs``; ``exponential`` falls by the same
            share each epoch and gets there too.
        start: At the highest.
        end: At the last epoch.
        warmup: Epochs, or part of one, over which it rises from 0.
    """

    schedule: Literal["cosine", "linear", "exponential"]
    start: PositiveFloat
    end: PositiveFloat = 1e-6
    warmup: Annotated[float, Field(ge=0)] = 0.0


class DeepTrainingSpec(Spec):
    """How the network is trained, by Adam (Kingma and Ba, ICLR 2015).

    Attributes:
        epochs: Most times that each example is seen.
        batch_size: Examples a step; all of them when there are fewer. Heads that rank are given whole groups, about so
            many examples together.
        learning_rate: Of the optimiser: a number, or how it changes.
        weight_decay: Share of each weight that a step takes away, in units of the learning rate.
        early_stopping: When to stop; never when left out.
        refit: Train again on training and validation period together, for the number of epochs that was found.
        rows_in_memory: Examples in memory at once; a longer table is read in parts that are shuffled each for itself.
        tensorboard: Folder for the curves of loss, metric and learning rate, as TensorBoard reads them.
    """

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 4096
    learning_rate: PositiveFloat | ScheduleSpec = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    early_stopping: EarlyStoppingSpec | None = None
    refit: bool = False
    rows_in_memory: PositiveInt = 2_000_000
    tensorboard: str | None = None


class DeepSpec(ComponentSpec):
    """A neural network.

    Attributes:
        features: How inputs become tensors.
        graph: Named blocks, in any order.
        head: What is learned, when that is one thing.
        heads: What is learned, by name, when it is several things. Outputs of the first whose label is the problem's
            own are called as they are; those of all others ``NAME_OUTPUT``.
        expose: Further outputs by name, each a block or an input's embedding; a vector gives ``NAME_0``, ``NAME_1`` …
        training: How it is trained.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "regression", "count"})
    takes_vectors: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("tensorflow", "keras", "scipy", "numpy")

    kind: Literal["deep"]
    features: DeepFeaturesSpec = DeepFeaturesSpec()
    graph: Annotated[dict[Name, AnyBlock], Field(min_length=1)]
    head: AnyHead | None = None
    heads: dict[Name, AnyHead] = {}
    expose: dict[Name, str] = {}
    training: DeepTrainingSpec = DeepTrainingSpec()

    @model_validator(mode="after")
    def _has_heads(self) -> Self:
        if (self.head is None) == (not self.heads):
            raise ValueError("head or heads must say what is learned: one of the two")
        return self

    def all_heads(self) -> dict[str, Head]:
        """The heads by name, and the only one as ``head``."""
        return {"head": self.head} if self.head else dict(self.heads)

    def main_head(self) -> str | None:
        """The head whose outputs are the component's own."""
        return next((name for name, head in self.all_heads().items() if head.label is None), None)

    def outputs_of(self, head: str) -> tuple[str, ...]:
        """What the outputs of a head are called."""
        gives: tuple[str, ...] = self.all_heads()[head].gives
        return gives if head == self.main_head() else tuple(f"{head}_{one}" for one in gives)

    def outputs(self, task: Task) -> tuple[str, ...]:
        """Those of the heads, then what is exposed."""
        from proml_kedro.models.deep.check import exposed_names  # it needs this module

        learned = [output for head in self.all_heads() for output in self.outputs_of(head)]
        return (*learned, *exposed_names(self))

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Whatever is wrong with features, graph and heads that can be found without data and TensorFlow."""
        from proml_kedro.models.deep.check import check  # they need this module
        from proml_kedro.models.deep.check_heads import check_heads

        return [*check(self, inputs), *check_heads(self, problem)]
