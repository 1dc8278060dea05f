"""What the YAML of ``kind: constant`` may say."""

from __future__ import annotations

from typing import ClassVar, Literal

from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import Task


class ConstantSpec(ComponentSpec):
    """The mean of the label, whatever a row says: the share of true labels or of each class, or the mean of a number.

    As a baseline it says what a model is worth that looks at nothing. Where no other component learns from it, it is
    the mean of the training and the validation part.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass", "regression", "count"})
    requires: ClassVar[tuple[str, ...]] = ("numpy",)
    takes_weights: ClassVar[bool] = True
    takes_vectors: ClassVar[bool] = True
    is_constant: ClassVar[bool] = True

    kind: Literal["constant"]
    inputs: list[str] = ["*"]
