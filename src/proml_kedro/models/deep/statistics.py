"""What is learned about inputs before any training: vocabularies, means, deviations, quantiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns
from proml_kedro.models.deep.layout import Categorical, Layout, Number

MISSING, UNKNOWN, FIRST = 0, 1, 2
"""The ids of nothing, of a category that training has not seen, and of the first known one, in every table."""

_QUANTILES = 100
_FARTHEST = 10.0  # deviations from the mean; a value beyond says no more, and would drown all others


@dataclass(frozen=True)
class Statistics:
    """The learned state of the inputs; plain data, so that it can be saved as JSON.

    Attributes:
        scales: Mean and deviation of each number after its scaling's transformation, or its quantiles.
        bounds: Upper bounds of all buckets but the last of each bucketed number, rising.
        vocabularies: Known categories of each table, the most frequent first.
    """

    scales: Mapping[str, Sequence[float]]
    bounds: Mapping[str, Sequence[float]]
    vocabularies: Mapping[str, Sequence[str]]

    def size_of(self, one: Categorical) -> int:
        """How many different ids there are in its column."""
        known = self.vocabularies[one.table] if one.buckets is None else [*self.bounds[one.name], np.inf]
        return FIRST + len(known)

    def as_json(self) -> dict[str, Any]:
        """What :class:`Statistics` can be made from again."""
        return {"scales": dict(self.scales), "bounds": dict(self.bounds), "vocabularies": dict(self.vocabularies)}


def learn(columns: Columns, layout: Layout, key: str) -> Statistics:
    """The statistics of training examples.

    Args:
        columns: The inputs.
        layout: What is needed of which.
        key: Of the component, for errors.

    Raises:
        UserError: A table has no category at all.
    """
    scales = {one.name: _scale(columns[one.name], one) for one in layout.numbers}
    bounds = {one.name: _bounds(columns[one.name], one.buckets) for one in layout.categoricals if one.buckets}
    tables: dict[str, list[Categorical]] = {}
    for one in layout.categoricals:
        if one.buckets is None:
            tables.setdefault(one.table, []).append(one)
    vocabularies = {table: _vocabulary(columns, members, key) for table, members in tables.items()}
    return Statistics(scales, bounds, vocabularies)


def _scale(values: Array, one: Number) -> list[float]:
    known = values[np.isfinite(values)].astype(np.float64)
    if one.scaling == "quantile":
        return _quantiles(known, _QUANTILES) if len(known) else [0.0]
    known = _transformed(known, one)
    mean, deviation = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    return [float(mean), float(deviation) or 1.0]


def _transformed(values: npt.NDArray[np.float64], one: Number) -> npt.NDArray[np.float64]:
    return np.sign(values) * np.log1p(np.abs(values)) if one.scaling == "log" else values


def _bounds(values: Array, buckets: int) -> list[float]:
    known = values[np.isfinite(values)].astype(np.float64)
    return _quantiles(known, buckets)[1:-1] if len(known) else []


def _quantiles(known: npt.NDArray[np.float64], parts: int) -> list[float]:
    """Values that cut the known ones into parts of equal counts, both ends included, each once."""
    cuts: list[float] = np.unique(np.quantile(known, np.linspace(0, 1, parts + 1))).tolist()
    return cuts


def _vocabulary(columns: Columns, members: Sequence[Categorical], key: str) -> list[str]:
    counts: Counter[str] = Counter()
    for one in members:
        counts.update(value for value in columns[one.name].tolist() if value is not None)
    least = members[0].min_count
    known = sorted((value for value, count in counts.items() if count >= least), key=lambda one: (-counts[one], one))
    if not known:
        names = " and ".join(one.name for one in members)
        raise UserError.at(f"{key}.features.min_count", f"no category of {names} occurs {least} times in training")
    return known


class Encoder:
    """Columns to the two matrices that a network reads.

    Args:
        layout: The order of their columns.
        statistics: What training has learned.
    """

    def __init__(self, layout: Layout, statistics: Statistics) -> None:
        self._layout = layout
        self._statistics = statistics
        self._ids = {
            table: {category: FIRST + position for position, category in enumerate(known)}
            for table, known in statistics.vocabularies.items()
        }

    def numbers(self, columns: Columns) -> npt.NDArray[np.float32]:
        """Scaled numbers with 0 for missing, then their indicators; float32 of shape (n, columns)."""
        count = len(self._layout.numbers)
        matrix = np.zeros((row_count(columns), self._layout.width_of(count)), np.float32)
        for position, one in enumerate(self._layout.numbers):
            values = np.asarray(columns[one.name], np.float64)
            missing = np.isnan(values)
            matrix[:, position] = np.where(missing, 0.0, self._scaled(values, one))
            if self._layout.indicators:
                matrix[:, count + position] = missing
        return matrix

    def _scaled(self, values: npt.NDArray[np.float64], one: Number) -> npt.NDArray[np.float64]:
        scale = self._statistics.scales[one.name]
        if one.scaling == "quantile":
            return np.interp(values, scale, np.linspace(-1, 1, len(scale)) if len(scale) > 1 else [0.0])
        mean, deviation = scale
        return np.clip((_transformed(values, one) - mean) / deviation, -_FARTHEST, _FARTHEST)

    def ids(self, columns: Columns) -> npt.NDArray[np.int32]:
        """Ids of categories and buckets, counting from 0 in each column; int32 of shape (n, columns)."""
        matrix = np.empty((row_count(columns), len(self._layout.categoricals)), np.int32)
        for position, one in enumerate(self._layout.categoricals):
            values = columns[one.name]
            if one.buckets is None:
                known = self._ids[one.table]
                found = (MISSING if value is None else known.get(value, UNKNOWN) for value in values.tolist())
                matrix[:, position] = np.fromiter(found, np.int32, len(values))
            else:
                bucket = np.searchsorted(self._statistics.bounds[one.name], values, side="right")
                matrix[:, position] = np.where(np.isnan(values), MISSING, FIRST + bucket)
        return matrix
