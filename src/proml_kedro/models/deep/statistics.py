"""What is learned about inputs before any training: vocabularies, means, deviations, quantiles; in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.component import Array, Columns
from proml_kedro.models.deep.layout import Categorical, Layout

MISSING, UNKNOWN, FIRST = 0, 1, 2
"""The ids of nothing, of a category that training has not seen, and of the first known one, in every table."""

_QUANTILES = 100
_SAMPLE = 2**20  # quantiles are exact for so many values, and of an even sample of more


@dataclass(frozen=True)
class Statistics:
    """The learned state of the inputs; plain data, so that it can be saved as JSON.

    Attributes:
        scales: Mean and deviation of each number after its scaling's transformation, or its quantiles; the typical size
            of a vector's numbers.
        bounds: Upper bounds of all buckets but the last of each bucketed number, rising.
        vocabularies: Known categories of each table, the most frequent first.
    """

    scales: Mapping[str, Sequence[float]]
    bounds: Mapping[str, Sequence[float]]
    vocabularies: Mapping[str, Sequence[str]]

    def size_of(self, one: Categorical) -> int:
        """How many different ids there are in its columns."""
        if one.bins is not None:
            return FIRST + one.bins
        return FIRST + (len(self.vocabularies[one.table]) if one.has_vocabulary else len(self.bounds[one.name]) + 1)

    def as_json(self) -> dict[str, Any]:
        """What :class:`Statistics` can be made from again."""
        return {"scales": dict(self.scales), "bounds": dict(self.bounds), "vocabularies": dict(self.vocabularies)}


def learn(parts: Iterable[Columns], layout: Layout, key: str) -> Statistics:
    """The statistics of training examples.

    Args:
        parts: The inputs, some rows at a time; each is looked at once.
        layout: What is needed of which.
        key: Of the component, for errors.

    Raises:
        UserError: A table has no category at all.
    """
    moments = {one.name: _Moments(one.scaling == "log") for one in layout.numbers if one.scaling != "quantile"}
    samples = {one.name: _Sample() for one in layout.numbers if one.scaling == "quantile"}
    samples |= {one.name: _Sample() for one in layout.categoricals if one.form == "buckets"}
    squares = {one.name: _Moments(False) for one in layout.vectors}
    counts: dict[str, Counter[str]] = {one.table: Counter() for one in layout.categoricals if one.has_vocabulary}
    for columns in parts:
        for name, moment in moments.items():
            moment.add(columns[name])
        for name, sample in samples.items():
            sample.add(columns[name])
        for name, square in squares.items():
            square.add(np.square(columns[name].astype(np.float64)).ravel())
        for one in layout.categoricals:
            if one.has_vocabulary:
                counts[one.table].update(_categories(columns[one.name], one))
    scales = {name: one.mean_and_deviation() for name, one in moments.items()}
    scales |= {
        one.name: samples[one.name].quantiles(_QUANTILES) or [0.0] for one in layout.numbers if one.name in samples
    }
    scales |= {name: [float(np.sqrt(one.mean)) or 1.0] for name, one in squares.items()}
    bounds = {one.name: samples[one.name].quantiles(one.buckets)[1:-1] for one in layout.categoricals if one.buckets}
    return Statistics(scales, bounds, {table: _known(counts[table], table, layout, key) for table in counts})


def assume(layout: Layout, categories: int) -> Statistics:
    """Statistics of nothing, with so many categories in each vocabulary: for the sizes of a network before any data."""
    scales = {one.name: [0.0, 1.0] for one in layout.numbers} | {one.name: [1.0] for one in layout.vectors}
    bounds = {one.name: np.arange(one.buckets - 1.0).tolist() for one in layout.categoricals if one.buckets}
    sizes = {one.table: min(categories, one.most or categories) for one in layout.categoricals if one.has_vocabulary}
    return Statistics(scales, bounds, {table: [str(one) for one in range(size)] for table, size in sizes.items()})


class _Moments:
    """Mean and deviation of values that come in parts (Chan, Golub and LeVeque, 1983)."""

    def __init__(self, log: bool) -> None:
        self._log = log
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, values: Array) -> None:
        """Take more values into account; those that are not finite are not."""
        known = values[np.isfinite(values)].astype(np.float64)
        if not len(known):
            return
        if self._log:
            known = np.sign(known) * np.log1p(np.abs(known))
        count, mean = len(known), float(known.mean())
        squares, shift = float(np.square(known - mean).sum()), mean - self.mean
        total = self.count + count
        self.mean += shift * count / total
        self._squares += squares + shift**2 * self.count * count / total
        self.count = total

    def mean_and_deviation(self) -> list[float]:
        """Both; 0 and 1 where nothing is known or all is alike."""
        deviation = float(np.sqrt(self._squares / self.count)) if self.count else 0.0
        return [self.mean, deviation or 1.0]


class _Sample:
    """Every value, or of very many every second, fourth, …: an even sample in bounded memory."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.float64]] = []
        self._step = 1

    def add(self, values: Array) -> None:
        """Take more values into account; those that are not finite are not."""
        self._parts.append(values[np.isfinite(values)].astype(np.float64)[:: self._step])
        while sum(map(len, self._parts)) > _SAMPLE:
            self._parts = [np.concatenate(self._parts)[::2]]
            self._step *= 2

    def quantiles(self, parts: int) -> list[float]:
        """Values that cut the known ones into parts of equal counts, both ends included, each once."""
        known = np.concatenate([np.zeros(0), *self._parts])
        if not len(known):
            return []
        cuts: list[float] = np.unique(np.quantile(known, np.linspace(0, 1, parts + 1))).tolist()
        return cuts


def _categories(values: Array, one: Categorical) -> list[str]:
    """Every category, word or item in a column, as often as it occurs; nothing is no category."""
    given = [value for value in values.tolist() if value]
    if one.form == "category":
        return given
    from proml_kedro.models.deep.preprocess import tokens  # it needs TensorFlow

    cut = tokens(np.array(given or [""], dtype=object), one).numpy().ravel().tolist()
    return [token.decode() for token in cut if token]


def _known(counts: Counter[str], table: str, layout: Layout, key: str) -> list[str]:
    members = [one for one in layout.categoricals if one.table == table]
    least, most = members[0].min_count, members[0].most
    known = sorted((value for value, count in counts.items() if count >= least), key=lambda one: (-counts[one], one))
    if not known:
        names = " and ".join(one.name for one in members)
        raise UserError.at(f"{key}.features.min_count", f"no category of {names} occurs {least} times in training")
    return known[:most]
