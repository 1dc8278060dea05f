"""What the YAML of ``kind: linear`` may say."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import Task


class LinearSpec(ComponentSpec):
    """A ridge linear model: of the log-odds of a truth value, of a number itself, of the logarithm of a count's mean.

    Where no other component learns from it, it learns from the training and the validation part.
    One of several classes has a margin for each, whose softmax is its probability: multinomial logistic regression.

    Attributes:
        penalty: Half of it times the sum of the squared coefficients is added to the summed loss: the log loss of a
            truth value or of classes, the Poisson loss of a count, half the squared error of a number in standard
            deviations.
        max_iterations: Of the optimiser.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass", "regression", "count"})
    requires: ClassVar[tuple[str, ...]] = ("scikit-learn", "scipy", "numpy")
    takes_weights: ClassVar[bool] = True

    kind: Literal["linear"]
    penalty: Annotated[float, Field(gt=0)] = 1.0
    max_iterations: PositiveInt = 500
