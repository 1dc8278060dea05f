"""The examples of a training set, as components are given them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import ParquetRows
from proml_kedro.models.component import Array, Examples, Input, LazyColumns
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import SplitName
from proml_kedro.spec.training_set import GROUP, LABEL, WEIGHT, auxiliary


def read_examples(
    training_set: Path, split: SplitName, inputs: Sequence[Input], problem: ProblemSpec, precision: str
) -> Examples:
    """Read the examples of one split: labels and weights now, inputs when a component looks at them.

    Args:
        training_set: The Parquet file of the training set.
        split: ``train``, ``validation`` or ``test``.
        inputs: The columns of the examples.
        problem: Declares labels, weight and group.
        precision: Floating point type of numeric inputs; labels and weights are float64, whatever it is.
    """
    source = ParquetRows(training_set, split, precision)
    has_weight, has_group = problem.examples.weight is not None, problem.examples.group is not None
    labels = {name: auxiliary(name) for name in problem.auxiliary_labels}
    names = [LABEL, *labels.values(), *([WEIGHT] if has_weight else [])]
    group = [Input(GROUP, "str")] if has_group else []
    read = replace(source, precision="float64").read([*(Input(name, "float") for name in names), *group])
    return Examples(
        LazyColumns([one.name for one in inputs], lambda: source.read(inputs)),
        read[LABEL],
        read[WEIGHT] if has_weight else None,
        _numbered(read[GROUP]) if has_group else None,
        {name: read[column] for name, column in labels.items()},
        source,
    )


def _numbered(groups: Array) -> npt.NDArray[np.int64]:
    """Number groups from 0; a row without a group is a group of its own."""
    alone = np.array([group is None for group in groups], bool)
    names = np.where(alone, "", groups).astype(str)
    _, codes = np.unique(names, return_inverse=True)
    numbers = codes.astype(np.int64)
    numbers[alone] = codes.max(initial=0) + 1 + np.arange(alone.sum())
    return numbers
