"""A producer as a component of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, cast

from proml_kedro.models.component import Array, Columns, Stateless
from proml_kedro.spec.model import ComponentSpec


class Function(Protocol):
    """What :class:`~proml_kedro.models.producers.base.Producer` adds to a component's spec."""

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the output of n rows from the inputs in order."""


class Computed(Stateless):
    """Gives the value of a producer's function."""

    Spec: ClassVar[type[ComponentSpec]] = ComponentSpec

    def score(self, columns: Columns) -> dict[str, Array]:
        """Compute the value of each row."""
        (output,) = self.spec.outputs("binary")
        return {output.name: cast("Function", self.spec).compute([columns[one.name] for one in self.inputs])}
