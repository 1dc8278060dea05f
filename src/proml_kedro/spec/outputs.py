"""What components give: typed outputs, and how they are referred to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from proml_kedro.spec.dtype import Dtype

OF_CLASSES: Final = "number of each class"
"""Type of an output that no component can read, since how many classes there are is known only with the data."""


@dataclass(frozen=True)
class Output:
    """An array that a component gives.

    Attributes:
        name: Such as ``margin``.
        dtype: ``float`` for a number a row, ``str`` for a category, ``vector[N]`` for N numbers, :data:`OF_CLASSES` for
            a number a class, however many classes the label has.
    """

    name: str
    dtype: Dtype = "float"


@dataclass(frozen=True, order=True)
class OutputRef:
    """An output of a component of a model, written ``component.output``.

    Attributes:
        component: Name of the component.
        output: Name of the output.
    """

    component: str
    output: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``component.output``.

        >>> OutputRef.parse("trees.margin")
        OutputRef(component='trees', output='margin')

        Raises:
            ValueError: The text has no dot.
        """
        component, dot, output = text.partition(".")
        if not dot:
            raise ValueError(f"'{text}' is no component.output")
        return cls(component, output)

    def __str__(self) -> str:
        return f"{self.component}.{self.output}"
