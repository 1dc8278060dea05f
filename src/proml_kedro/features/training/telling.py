"""How much one feature alone, or whether it is missing, tells of a label: areas under the ROC curve.

Of several classes each is told from all others. A feature that tells one class alone may be honest, as the length of a
petal tells one species; one that tells all of them is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.formulas import auc

SUSPICIOUS, CERTAIN = 0.95, 0.99
"""Areas under the ROC curve from which a feature is warned of, and from which it is an error."""

_LEAST_OF_A_CLASS = 50
_MOST_CLASSES = 20
"""Classes that are looked at, the most frequent ones."""
_ROWS_OF_A_BIN, _MOST_BINS = 20, 200
"""Of numbers with many values, which need not grow with the number of a class."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Telling:
    """What a feature tells.

    Attributes:
        what: ``it``, or ``its absence``.
        of: The label or one of its classes, with the area.
        is_certain: Whether that is more than knowledge can be.
    """

    what: str
    of: str
    is_certain: bool


def tells(values: Values, missing: npt.NDArray[np.bool_], label: Values, classes: Sequence[str]) -> Iterator[Telling]:
    """Find what a feature tells of a label, or its absence.

    Args:
        values: Numbers, truth values or texts, shape (n,).
        missing: Which of them are missing, shape (n,).
        label: 0 or 1, or the number of the class, shape (n,).
        classes: Names of the classes; none of a binary label.
    """
    known, of_known = values[~missing], label[~missing]
    if not classes:
        for area, what in ((area_of(known, of_known), "it"), (_auc(missing, label), "its absence")):
            if area >= SUSPICIOUS:
                yield Telling(what, f"the label (AUC {area:.3f})", area >= CERTAIN)
        return
    yield from _of_classes(areas_of(known, of_known, len(classes)), of_known, classes)
    absent = [(_auc(missing, (label == one).astype(float)), one) for one in _frequent(label, len(classes))]
    area, one = max(absent, default=(0.0, 0))
    if area >= SUSPICIOUS:
        yield Telling("its absence", f"class '{classes[one]}' (AUC {area:.3f})", area >= CERTAIN)


def _of_classes(areas: dict[int, float], label: Values, classes: Sequence[str]) -> Iterator[Telling]:
    if not areas:
        return
    weights = [float((label == one).sum()) for one in areas]
    mean = float(np.average(list(areas.values()), weights=weights)) if len(areas) > 1 else 0.0
    area, one = max((area, -one) for one, area in areas.items())
    if mean >= SUSPICIOUS:
        yield Telling("it", f"the label (mean AUC of classes {mean:.3f})", mean >= CERTAIN)
    elif area >= CERTAIN:
        yield Telling("it", f"class '{classes[-one]}' (AUC {area:.3f})", False)


def is_missing(values: Values) -> npt.NDArray[np.bool_]:
    """Tell which values of a feature are missing."""
    if values.dtype == object:
        return np.array([one is None or one != one for one in values], np.bool_)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)


def is_binary(label: Values) -> bool:
    """Tell whether a label is 0 or 1, with at least 50 rows of both."""
    values, counts = np.unique(label, return_counts=True)
    return values.tolist() == [0, 1] and int(counts.min()) >= _LEAST_OF_A_CLASS


def area_of(values: Values, label: Values) -> float:
    """Compute the AUC of one feature against a binary label, in whichever direction it is larger.

    Text is first replaced by the label rate of its category, estimated on half of the rows and judged on the other.

    Args:
        values: Numbers, truth values or texts, none of them missing, shape (n,).
        label: 0 or 1, shape (n,).

    Returns:
        0 where there are fewer than 50 rows of a class.
    """
    if not is_binary(label):
        return 0.0
    if not _is_text(values):
        return _auc(values.astype(np.float64), label)
    half = len(values) // 2
    rates = _rates(values, label[:, None])
    return _auc(rates[:, 0], label[half:])


def areas_of(values: Values, label: Values, classes: int) -> dict[int, float]:
    """Compute the AUC of one feature for each class against all others, of the 20 most frequent classes.

    Categories, and numbers in bins, are replaced by the share that each class has in them, estimated on half of the
    rows and judged on the other.

    Args:
        values: Numbers, truth values or texts, none of them missing, shape (n,).
        label: The number of the class, shape (n,).
        classes: How many there are.

    Returns:
        By class; those of fewer than 50 rows in the half that is judged are left out.
    """
    half = len(values) // 2
    judged = label[half:]
    chosen = [one for one in _frequent(label, classes) if is_binary((judged == one).astype(float))]
    if not chosen:
        return {}
    ways = values if _is_text(values) else _in_bins(values.astype(np.float64), half)
    rates = _rates(ways, np.stack([(label == one).astype(float) for one in chosen], axis=1))
    return {one: _auc(rates[:, place], (judged == one).astype(float)) for place, one in enumerate(chosen)}


def _frequent(label: Values, classes: int) -> list[int]:
    counts = np.bincount(label.astype(np.int64), minlength=classes)
    return [int(one) for one in np.argsort(-counts, kind="stable")[:_MOST_CLASSES] if counts[one]]


def _is_text(values: Values) -> bool:
    return values.dtype == object and isinstance(values[0], str)


def _in_bins(values: npt.NDArray[np.float64], half: int) -> Values:
    """The number of each value's bin: values themselves where there are few, else about 20 rows of the first half."""
    different = np.unique(values)
    bins = max(2, min(half // _ROWS_OF_A_BIN, _MOST_BINS))
    if len(different) <= bins:
        return values
    edges = np.unique(np.quantile(values[:half], np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    return np.searchsorted(edges, values, side="left")


def _rates(values: Values, label: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean labels of each row's category, of the second half of the rows by those of the first one.

    Args:
        values: Categories, shape (n,).
        label: 0 or 1, shape (n, labels).

    Returns:
        Shape (n - n // 2, labels); of categories that the first half lacks the means of all.
    """
    half = len(values) // 2
    known, category, counts = np.unique(values[:half], return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(category, one) for one in label[:half].T], axis=1)
    rates = sums / counts[:, None]
    place = np.minimum(np.searchsorted(known, values[half:]), len(known) - 1)
    is_known = (known[place] == values[half:])[:, None]
    return np.asarray(np.where(is_known, rates[place], label[:half].mean(axis=0)))


def _auc(values: Values, label: Values) -> float:
    """Compute the AUC of values, or of their opposite, whichever is larger; 0 for too few rows."""
    if not is_binary(label):
        return 0.0
    area = auc(label, values)
    return max(area, 1 - area)
