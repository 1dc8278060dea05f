"""The protocol that every component of a model implements.

A kind of component is one class in one file. Authors write plain ``fit`` and ``score``; the graph adds timing,
seeds, checks and error messages. :func:`proml_kedro.testing.check_component` proves the laws.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import ComponentSpec

Array = npt.NDArray[Any]

Columns = Mapping[str, Array]
"""Equally long arrays by name. Numbers are floating point of shape (n,) with NaN for missing; text is an object array
of ``str`` of shape (n,) with None for missing; vectors are floating point of shape (n, size) with a row of NaN for
missing, and only components whose ``Spec.takes_vectors`` is true are given any."""


@dataclass(frozen=True)
class Input:
    """A column that a component reads.

    Attributes:
        name: ``view.feature`` or ``component.output``.
        dtype: ``str`` columns are categories, ``vector[N]`` columns vectors, all others numbers.
    """

    name: str
    dtype: Dtype

    @property
    def is_categorical(self) -> bool:
        """Whether values are categories."""
        return self.dtype == "str"

    @property
    def size(self) -> int | None:
        """How many numbers a value of a vector has; None for numbers and categories."""
        return vector_size(self.dtype)


@dataclass(frozen=True)
class Examples:
    """Rows with what is to be predicted.

    Attributes:
        columns: The inputs, n rows each.
        label: float32 of shape (n,); 0 or 1 for a binary task.
    """

    columns: Columns
    label: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: Array) -> Examples:
        """The rows at these positions, or where this mask is true."""
        return Examples({name: values[rows] for name, values in self.columns.items()}, self.label[rows])

    def join(self, other: Examples) -> Examples:
        """These rows and then the other ones."""
        columns = {name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()}
        return Examples(columns, np.concatenate([self.label, other.label]))


@dataclass(frozen=True)
class FitContext:
    """What a component may use besides its data.

    Attributes:
        hardware: The machine; a component takes its thread count from here.
        seed: For every random choice.
        key: Where the component stands in the configuration, for errors.
        final: Whether no other component learns from this one's outputs. Only then may it learn from the validation
            period too, after that has chosen.
    """

    hardware: HardwareSpec
    seed: int
    key: str = "model"
    final: bool = True


class Component(ABC):
    """A part of a model that learns from examples and scores rows.

    Attributes:
        Spec: What its YAML may say.
        outputs: Names of the arrays that :meth:`score` returns. ``probability`` makes it fit to be a model's score.
    """

    Spec: ClassVar[type[ComponentSpec]]
    outputs: ClassVar[tuple[str, ...]] = ("margin", "probability")

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        self.spec = spec
        self.inputs = tuple(inputs)

    @abstractmethod
    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Learn from ``train``; ``validation`` chooses, for example when to stop. Either holds the inputs' columns."""

    @abstractmethod
    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """An array of shape (n,) for each output. Missing values and unknown categories are scored too."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the learned state as data (never pickled) into an empty folder."""

    @classmethod
    @abstractmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """The component that :meth:`save` wrote; it scores with one thread."""

    def importance(self) -> dict[str, float]:
        """How much each input contributes, summing to 1; empty when the kind has no such notion."""
        return {}

    def summary(self) -> dict[str, Any]:
        """Facts about the fit worth printing, such as the number of trees."""
        return {}
