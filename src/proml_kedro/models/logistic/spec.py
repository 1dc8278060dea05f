"""What the YAML of ``kind: logistic`` may say."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from proml_kedro.spec.model import ComponentSpec


class LogisticSpec(ComponentSpec):
    """Ridge logistic regression.

    Attributes:
        penalty: Half of it times the sum of the squared coefficients is added to the summed log loss.
        max_iterations: Of the optimiser (L-BFGS).
    """

    requires: ClassVar[tuple[str, ...]] = ("scikit-learn", "scipy", "numpy")
    takes_weights: ClassVar[bool] = True

    kind: Literal["logistic"]
    penalty: Annotated[float, Field(gt=0)] = 1.0
    max_iterations: PositiveInt = 500
