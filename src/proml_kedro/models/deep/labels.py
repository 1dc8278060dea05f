"""The labels of each head: read from examples, checked, and where training starts from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.component import Examples
from proml_kedro.models.deep.check_heads import find_metric
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.spec import DeepSpec

_MOST_LOST = 0.01
"""Largest error of a label in single precision, as a share of its deviation."""


@dataclass(frozen=True)
class HeadStarts:
    """What labels tell each head before training.

    Attributes:
        biases: Where the biases of each head start, by its name.
        learned: What else each head has learned, by its name.
    """

    biases: dict[str, Sequence[float]]
    learned: dict[str, HeadState]


def labels_of(examples: Sequence[Examples], heads: Sequence[Head]) -> npt.NDArray[np.float64]:
    """Collect the label of each head, shape (n, heads), NaN where not known."""
    columns = [
        np.concatenate([one.label if head.label is None else one.labels[head.label] for one in examples])
        for head in heads
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def weight_of(examples: Sequence[Examples]) -> npt.NDArray[np.float64]:
    """Collect how much each row counts, shape (n,)."""
    parts = [np.ones(len(one)) if one.weight is None else one.weight for one in examples]
    return np.concatenate(parts).astype(np.float64)


def begin_heads(spec: DeepSpec, train: Sequence[Examples], key: str) -> HeadStarts:
    """Let each head learn from the labels of the training period.

    Args:
        spec: Of the component.
        train: The training period.
        key: Of the component, for errors.

    Raises:
        UserError: A label is not what its head learns, no row has it, or single precision is too coarse for it.
    """
    heads = spec.all_heads()
    labels, weight = labels_of(train, list(heads.values())), weight_of(train)
    starts = HeadStarts({}, {})
    for (name, head), label in zip(heads.items(), labels.T, strict=True):
        here = f"{key}.{spec.key_of(name)}"
        counted = ~np.isnan(label) & (weight > 0)
        known = label[counted]
        if not len(known):
            raise UserError.at(f"{here}.label", "no row of the training period has this label")
        try:
            starts.biases[name], starts.learned[name] = head.begin(known, weight[counted])
        except ValueError as error:
            whose = f"the label {head.label}" if head.label else "the label"
            raise UserError.at(f"{here}.loss", f"{whose} {error}") from error
        exact = known - head.origin(starts.learned[name])
        lost, deviation = float(np.abs(exact - exact.astype(np.float32)).max()), float(known.std())
        if lost > _MOST_LOST * deviation:
            message = f"would learn labels rounded by up to {lost:.3g}, and they deviate by {deviation:.3g} only"
            raise UserError.at(f"{here}.loss", f"'{head.loss}' {message}; move them nearer to 0")
    return starts


def stopping_metric(spec: DeepSpec) -> tuple[int | None, str]:
    """Return the position of the head that early stopping goes by, None for the loss of all, and the metric."""
    stopping = spec.training.early_stopping
    heads = spec.all_heads()
    name, metric = find_metric(heads, stopping.metric if stopping else "loss") or (None, "loss")
    return (None if name is None else list(heads).index(name)), metric


def check_validation(spec: DeepSpec, validation: Examples, key: str) -> None:
    """Check that the validation period can be judged by the metric of early stopping.

    Args:
        spec: Of the component.
        validation: The validation period.
        key: Of the component, for errors.

    Raises:
        UserError: It has no known label, or for AUC only one class.
    """
    if spec.training.early_stopping is None:
        return
    position, metric = stopping_metric(spec)
    label = labels_of([validation], list(spec.all_heads().values()))[:, position or 0]
    label = label[~np.isnan(label) & (weight_of([validation]) > 0)]
    here = f"{key}.training.early_stopping.metric"
    if not len(label):
        raise UserError.at(here, "no row of the validation period has the label that it judges by")
    if metric == "auc" and not 0 < (label > 0).mean() < 1:
        raise UserError.at(here, "the validation period has one class only; write loss")
