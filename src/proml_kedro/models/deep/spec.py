"""The YAML of ``kind: deep``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from proml_kedro.errors import Mistake
from proml_kedro.models.deep.blocks import AnyBlock
from proml_kedro.models.deep.check_features import check_features
from proml_kedro.models.deep.check_graph import (
    check_cycle,
    check_names,
    check_references,
    check_unused,
    check_widths,
)
from proml_kedro.models.deep.check_heads import check_heads, check_metric
from proml_kedro.models.deep.expose import Exposure
from proml_kedro.models.deep.features_spec import DeepFeaturesSpec
from proml_kedro.models.deep.heads import AnyHead, Head
from proml_kedro.models.deep.layout import lay_out
from proml_kedro.models.deep.training_spec import DeepTrainingSpec
from proml_kedro.spec.base import Name
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.hardware import DEVICES, Device
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.problem import ProblemSpec, Task


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
    takes_weights: ClassVar[bool] = True
    hardware_keys: ClassVar[frozenset[str]] = frozenset(
        {"device", "devices", "allow_cpu", "mixed_precision", "threads"}
    )
    devices: ClassVar[tuple[Device, ...]] = DEVICES
    one_at_a_time: ClassVar[bool] = True

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
        """Return the heads by name, and the only one as ``head``."""
        return {"head": self.head} if self.head else dict(self.heads)

    @property
    def learns_order(self) -> bool:
        """Tell whether a head compares rows with others of their group."""
        return any(head.by_group for head in self.all_heads().values())

    def key_of(self, head: str) -> str:
        """Return the key of a head inside of the component: ``head``, or ``heads.NAME``."""
        return "head" if self.head else f"heads.{head}"

    def main_head(self) -> str | None:
        """Return the head whose outputs are the component's own; None when all learn auxiliary labels."""
        return next((name for name, head in self.all_heads().items() if head.label is None), None)

    def outputs_of(self, head: str) -> tuple[str, ...]:
        """Name the outputs of a head."""
        gives: tuple[str, ...] = self.all_heads()[head].gives
        return gives if head == self.main_head() else tuple(f"{head}_{one}" for one in gives)

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """Name the outputs: those of the heads, then what is exposed."""
        return tuple(map(Output, (*self._head_outputs(), *self._exposure().names())))

    def _head_outputs(self) -> list[str]:
        return [output for head in self.all_heads() for output in self.outputs_of(head)]

    def _exposure(self) -> Exposure:
        return Exposure(self.expose, self.graph, self.features)

    def _heads_by_key(self) -> dict[str, Head]:
        return {self.key_of(name): head for name, head in self.all_heads().items()}

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find whatever is wrong with features, graph and heads and shows without data and TensorFlow."""
        mistakes = [*self.check_network(inputs), *check_heads(self._heads_by_key(), problem)]
        if self.training.early_stopping:
            mistakes += check_metric(self.all_heads(), self.training.early_stopping.metric, list(self.heads))
        return mistakes

    def check_network(self, inputs: Mapping[str, Dtype]) -> list[Mistake]:
        """Find whatever is wrong with features, graph and exposed outputs, whatever the problem is.

        Args:
            inputs: What the component reads, by name.
        """
        mistakes = [*check_features(self.features, inputs)]
        mistakes += check_names(self.graph, (*inputs, *self.features.crosses))
        if mistakes:
            return mistakes
        layout, heads = lay_out(self.features, inputs), self._heads_by_key()
        mistakes = list(check_references(self.graph, heads, layout)) or list(check_cycle(self.graph))
        return mistakes or [
            *check_widths(self.graph, layout),
            *check_unused(self.graph, heads, layout),
            *self._exposure().check(layout, self._head_outputs()),
        ]
