"""The set of values, in every dimension, that is furthest from what was expected of it.

Each dimension in turn is set to its best values given the others, which after sorting are the first so many (the
linear-time subset scan; D. B. Neill, "Fast subset scan for spatial pattern detection", JRSS B 74, 2012), from many
starts: each value, and the most unusual pairs and triples of values. What a set gains is less than its likelihood by
the length of its description, so that larger and deeper ones have to earn it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import lgamma, log

import numpy as np
import numpy.typing as npt

from proml_kedro.health.diagnosis.likelihood import Likelihood

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_OF_A_KIND = 10
"""Starts from pairs of values, and as many from triples."""
_ROUNDS = 6
_CELLS = 2_000_000
"""Most combinations of values of three dimensions that are counted."""


@dataclass(frozen=True)
class Points:
    """What is scanned.

    Attributes:
        codes: Number of each row's value in each dimension, shape (dimensions, rows).
        sizes: Number of values of each dimension.
        seen: What was seen of each row, shape (rows,).
        expected: What was expected of it; the sum is that of what was seen, shape (rows,).
        size: Trials, or variance, shape (rows,).
        known: What is known of each value from before, on the scale of ``size``, by dimension.
        likelihood: Of the figures.
        noise: How many times as large as the likelihood's the variance of figures is.
        side: 1 to look for more than was expected, -1 for less.
    """

    codes: Ints
    sizes: Sequence[int]
    seen: Array
    expected: Array
    size: Array
    known: Sequence[Array]
    likelihood: Likelihood
    noise: float = 1.0
    side: int = 1

    @cached_property
    def totals(self) -> tuple[float, float, float]:
        """What was seen and expected of all rows, and their size."""
        return float(self.seen.sum()), float(self.expected.sum()), float(self.size.sum())

    def sums(self, code: Ints, size: int, rows: Ints | None = None) -> tuple[Array, Array, Array]:
        """Sum what was seen, expected, and the size, by a code."""
        places = slice(None) if rows is None else rows
        code = code[places]
        seen, expected, weight = (
            np.bincount(code, part[places], size).astype(float) for part in (self.seen, self.expected, self.size)
        )
        return seen, expected, weight

    def inside(self, chosen: Chosen) -> Mask:
        """Tell which rows are in a set, shape (rows,)."""
        found = np.ones(self.codes.shape[1], bool)
        for dimension, values in chosen.items():
            found &= values[self.codes[dimension]]
        return found


Chosen = dict[int, Mask]
"""A set: which values, by dimension; dimensions that are left out have all."""


def scan(points: Points) -> tuple[float, Chosen]:
    """Find the set that stands out most, on one side of what is expected.

    Returns:
        What it gains in log-likelihood, less the length of its description (0 where nothing does), and the set.
    """
    best: tuple[float, Chosen] = (0.0, {})
    seen: set[bytes] = set()
    for start in _starts(points):
        found = _climb(points, start, seen)
        if found[0] > best[0]:
            best = found
    return best


def _starts(points: Points) -> Iterator[list[Mask]]:
    """Yield sets to begin with: each value, and the most unusual pairs and triples of values."""
    sizes = points.sizes
    everything = [np.ones(size, bool) for size in sizes]
    for dimension, size in enumerate(sizes):
        for value in range(size):
            yield [np.arange(size) == value if one == dimension else all_ for one, all_ in enumerate(everything)]
    for depth in (2, 3):
        cells: list[tuple[float, tuple[int, ...], tuple[int, ...]]] = []
        for dimensions in combinations(range(len(sizes)), depth):
            shape = tuple(sizes[one] for one in dimensions)
            total = int(np.prod(shape))
            if total > _CELLS:
                continue
            gain = _gains(points, np.ravel_multi_index(tuple(points.codes[list(dimensions)]), shape), total)
            for cell in np.argsort(-gain)[:_OF_A_KIND].tolist():
                values = tuple(int(one) for one in np.unravel_index(cell, shape))
                cells.append((float(gain[cell]), dimensions, values))
        for _, dimensions, values in sorted(cells, reverse=True)[:_OF_A_KIND]:
            of = dict(zip(dimensions, values, strict=True))
            yield [np.arange(size) == of[one] if one in of else everything[one] for one, size in enumerate(sizes)]


def _gains(points: Points, code: Ints, size: int) -> Array:
    seen, expected, weight = points.sums(code, size)
    gain = points.likelihood.gain(seen, expected, weight)
    return np.where(points.side * (seen - expected) > 0, gain, 0.0)


def _climb(points: Points, chosen: list[Mask], known: set[bytes]) -> tuple[float, Chosen]:
    """Set each dimension to its best values given the others, until nothing changes."""
    codes = points.codes
    outside = [~values[code] for values, code in zip(chosen, codes, strict=True)]
    count = np.sum(outside, axis=0, dtype=np.int8)
    score = -np.inf
    for _ in range(_ROUNDS):
        before = score
        for dimension in range(len(chosen)):
            rows = np.flatnonzero((count - outside[dimension]) == 0)
            score, values = _best(points, dimension, chosen, rows)
            if (values != chosen[dimension]).any():
                chosen[dimension] = values
                now = ~values[codes[dimension]]
                count += now.astype(np.int8) - outside[dimension].astype(np.int8)
                outside[dimension] = now
        key = b"".join(np.packbits(values).tobytes() for values in chosen)
        if score <= before + 1e-9 or key in known:
            break
        known.add(key)
    return score, {one: values for one, values in enumerate(chosen) if not values.all()}


def _best(points: Points, dimension: int, chosen: list[Mask], rows: Ints) -> tuple[float, Mask]:
    """Find the best values of a dimension, given those of the others."""
    size = points.sizes[dimension]
    seen, expected, weight = points.sums(points.codes[dimension], size, rows)
    order = np.argsort(-points.side * points.likelihood.order(seen, expected, weight), kind="stable")
    sums = [np.cumsum(part[order]) for part in (seen, expected, weight)]
    gain = points.likelihood.against_rest(sums[0], sums[1], sums[2], points.totals)
    gain = np.where(points.side * (sums[0] - sums[1]) > 0, gain, 0.0)
    restricted = [one for one, values in enumerate(chosen) if one != dimension and not values.all()]
    unsure = sum((1 / max(points.known[one][chosen[one]].sum(), 1e-9) for one in restricted), 0.0)
    own = 1 / np.maximum(np.cumsum(points.known[dimension][order]), 1e-9)
    own[-1] = 0.0
    gain = gain / (points.noise + sums[2] * (unsure + own))
    length = sum(_length(points.sizes[one], int(chosen[one].sum())) for one in restricted)
    lengths = length + np.array([_length(size, number) for number in range(1, size)] + [0.0])
    score = gain - lengths
    best = int(np.argmax(score))
    values = np.zeros(size, bool)
    values[order[: best + 1]] = True
    return float(score[best]), values


def _length(size: int, number: int) -> float:
    """Return how much it takes to say which values of a dimension: how many, and which, in nats."""
    return lgamma(size + 1) - lgamma(number + 1) - lgamma(size - number + 1) + log(size) + 1.0
