"""Statistics of the inputs, learned in one pass before training: vocabularies, means, deviations, quantiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proml_kedro.errors import UserError
from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns
from proml_kedro.models.deep.accumulators import Moments, Sample
from proml_kedro.models.deep.buckets import bucket_bounds
from proml_kedro.models.deep.layout import CategoricalInput, Layout

MISSING, UNKNOWN, FIRST = 0, 1, 2
"""Ids in every table: of a missing value, of a category that training has not seen, and of the first known one."""

_QUANTILES = 100


@dataclass(frozen=True)
class Statistics:
    """The learned state of the inputs; plain data, so that it can be saved as JSON.

    Attributes:
        scales: Mean and deviation of each number after its scaling's transformation, or its quantiles at even steps,
            which repeat where values do; the typical size of a vector's numbers.
        bounds: Upper bounds of all buckets but the last of each bucketed number, rising.
        vocabularies: Known categories of each table, the most frequent first.
        complete: Inputs that no training example lacks.
        met: Ids that hashes of training examples became, rising, by table; int32. Those of a table that is not in it
            count as met.
    """

    scales: Mapping[str, Sequence[float]]
    bounds: Mapping[str, Sequence[float]]
    vocabularies: Mapping[str, Sequence[str]]
    complete: Sequence[str] = ()
    met: Mapping[str, Array] = field(default_factory=dict)

    def size_of(self, one: CategoricalInput) -> int:
        """Count the different ids in the columns of a categorical."""
        if one.bins is not None:
            return FIRST + one.bins
        return FIRST + (len(self.vocabularies[one.table]) if one.has_vocabulary else len(self.bounds[one.name]) + 1)

    def as_json(self) -> dict[str, Any]:
        """Return the arguments that make these statistics again, but for ``met``: arrays are no JSON."""
        found = {"scales": dict(self.scales), "bounds": dict(self.bounds), "vocabularies": dict(self.vocabularies)}
        return found | {"complete": list(self.complete)}


def learn(parts: Iterable[Columns], layout: Layout, key: str, weight: Array | None = None) -> Statistics:
    """Learn the statistics of training examples.

    Args:
        parts: The inputs, some rows at a time; each part is looked at once.
        layout: Which statistics each input needs.
        key: Of the component, for errors.
        weight: How much each row of all parts counts, shape (n,); the same when left out. One of weight 0 is as if it
            were not there; how often a category occurs is counted in rows.

    Raises:
        UserError: A table has no category at all.
    """
    learner = _Learner(layout)
    start = 0
    for columns in parts:
        rows = row_count(columns)
        counts = np.ones(rows) if weight is None else weight[start : start + rows]
        start += rows
        counted = counts > 0
        if not counted.all():
            columns, counts = {name: values[counted] for name, values in columns.items()}, counts[counted]
        learner.add(columns, counts)
    return learner.finish(key)


def assume(layout: Layout, categories: int) -> Statistics:
    """Make statistics without data, for the sizes of a network.

    Args:
        layout: The inputs.
        categories: Number of categories in each vocabulary, unless ``max_categories`` is less.
    """
    scales = {one.name: [0.0, 1.0] for one in layout.numbers} | {one.name: [1.0] for one in layout.vectors}
    bounds = {one.name: np.arange(one.buckets - 1.0).tolist() for one in layout.categoricals if one.buckets}
    sizes = {one.table: min(categories, one.most or categories) for one in layout.categoricals if one.has_vocabulary}
    return Statistics(scales, bounds, {table: [str(one) for one in range(size)] for table, size in sizes.items()})


class _Learner:
    """Accumulators for each input, by what the layout needs of it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._moments = {one.name: Moments(one.scaling == "log") for one in layout.numbers if one.scaling != "quantile"}
        ranked = [one.name for one in layout.numbers if one.scaling == "quantile"]
        bucketed = [one.name for one in layout.categoricals if one.form == "buckets"]
        self._samples = {name: Sample() for name in (*ranked, *bucketed)}
        self._squares = {one.name: Moments(log=False) for one in layout.vectors}
        self._known = [one for one in layout.categoricals if one.has_vocabulary]
        self._counts: dict[str, Counter[str]] = {one.table: Counter() for one in self._known}
        names = [*(one.name for one in layout.numbers), *(one.name for one in layout.categoricals)]
        self._complete = dict.fromkeys(names, True)

    def add(self, columns: Columns, weight: Array) -> None:
        for name, moment in self._moments.items():
            moment.add(columns[name], weight)
        for name, sample in self._samples.items():
            sample.add(columns[name], weight)
        for name, square in self._squares.items():
            squares = np.square(columns[name].astype(np.float64))
            square.add(squares.ravel(), np.repeat(weight, squares.shape[1]))
        for one in self._known:
            self._counts[one.table].update(_categories(columns[one.name], one))
        for name, values in columns.items():
            if self._complete.get(name):
                self._complete[name] = not _any_missing(values)

    def finish(self, key: str) -> Statistics:
        scales = {name: one.mean_and_deviation() for name, one in self._moments.items()}
        scales |= {
            one.name: self._samples[one.name].quantiles(_QUANTILES) or [0.0]
            for one in self._layout.numbers
            if one.name in self._samples
        }
        scales |= {name: [float(np.sqrt(one.mean)) or 1.0] for name, one in self._squares.items()}
        bounds = {
            one.name: bucket_bounds(*self._samples[one.name].counts(), one.buckets)
            for one in self._layout.categoricals
            if one.buckets
        }
        complete = [one for one in self._complete if self._complete[one]]
        return Statistics(scales, bounds, {table: self._vocabulary(table, key) for table in self._counts}, complete)

    def _vocabulary(self, table: str, key: str) -> list[str]:
        """Sort the known categories of a table, the most frequent first and equals by name."""
        members = [one for one in self._known if one.table == table]
        counts, least = self._counts[table], members[0].min_count
        frequent = (value for value, count in counts.items() if count >= least)
        known = sorted(frequent, key=lambda value: (-counts[value], value))
        if not known:
            names = " and ".join(one.name for one in members)
            raise UserError.at(f"{key}.features.min_count", f"no category of {names} occurs {least} times in training")
        return known[: members[0].most]


def _any_missing(values: Array) -> bool:
    return not all(values.tolist()) if values.dtype == object else bool(np.isnan(values).any())


def _categories(values: Array, one: CategoricalInput) -> list[str]:
    """List every category, word or item in a column, as often as it occurs; missing values are omitted."""
    given = [value for value in values.tolist() if value]
    if one.form == "category":
        return given
    from proml_kedro.models.deep.tokens import composed, tokens

    texts = np.array(given or [""], dtype=object)
    cut = tokens(composed(texts) if one.form == "text" else texts, one).numpy().ravel().tolist()
    return [token.decode() for token in cut if token]
