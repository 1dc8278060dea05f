"""Probabilities of classes as columns of a table of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.spec.training_set import BASELINE, CLASS, SCORE, probability_of


def class_columns(scores: npt.NDArray[np.float64], classes: Sequence[str]) -> dict[str, Array]:
    """Make the columns of a model's scores: the most probable class, its probability, and that of each class.

    Args:
        scores: Probabilities, shape (n, classes).
        classes: Names of the classes.
    """
    names = np.array(classes, object)[scores.argmax(axis=1)]
    each = {probability_of(name): scores[:, number] for number, name in enumerate(classes)}
    return {CLASS: names, SCORE: scores.max(axis=1), **each}


def baseline_columns(scores: npt.NDArray[np.float64], classes: Sequence[str]) -> dict[str, Array]:
    """Make the columns of a baseline's scores: the largest probability, and that of each class."""
    each = {f"{BASELINE}.{name}": scores[:, number] for number, name in enumerate(classes)}
    return {BASELINE: scores.max(axis=1), **each}
