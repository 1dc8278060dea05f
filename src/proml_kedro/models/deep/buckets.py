"""Bounds of buckets of about equal counts, of which a value that fills one by itself has its own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def bucket_bounds(values: Doubles, counts: Doubles, buckets: int) -> list[float]:
    """Cut a line into buckets: a number is in the bucket whose number is that of the bounds at or below it.

    A value that holds more than a bucket's share, such as the zeros of rain, is a spike: its bucket has nothing else in
    it, and the rest is shared out evenly among the buckets that are left. So does LightGBM (Ke et al., NIPS 2017).

    Args:
        values: Different values, rising, shape (n,).
        counts: How often each occurs, shape (n,).
        buckets: Largest number of buckets.

    Returns:
        Rising bounds, one less than there are buckets; none when there is one value or none.

    >>> bucket_bounds(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([96.0, 1.0, 1.0, 1.0, 1.0]), 3)
    [0.5, 2.5]
    """
    if len(values) <= buckets:
        return _between(values, range(1, len(values)))
    is_spike = _spikes(counts, buckets)
    # A stretch is a spike, or all that lies between two of them.
    change = np.flatnonzero(is_spike[1:] | is_spike[:-1]) + 1
    starts = _fewer(np.concatenate([[0], change]), counts, buckets)
    single = np.diff([*starts, len(values)]) == 1
    masses = np.add.reduceat(counts, starts)
    shares = _share_out(np.where(single, 0.0, masses), np.diff([*starts, len(values)]), buckets)
    bounds: set[int] = set()
    for start, end, share in zip(starts, [*starts[1:], len(values)], shares, strict=True):
        bounds |= {start, *(start + _cuts(counts[start:end], share))}
    return _between(values, sorted(bounds - {0}))


def _between(values: Doubles, positions: Iterable[int]) -> list[float]:
    """Return bounds half-way between each of these values and the one before it, at which a bucket begins."""
    return [
        max(float(0.5 * values[one - 1] + 0.5 * values[one]), float(np.nextafter(values[one - 1], np.inf)))
        for one in positions
    ]


def _spikes(counts: Doubles, buckets: int) -> npt.NDArray[np.bool_]:
    """Find the values that fill a bucket by themselves, once those found before have theirs."""
    is_spike = np.zeros(len(counts), np.bool_)
    while True:
        left = buckets - int(is_spike.sum())
        more = ~is_spike & (counts > counts[~is_spike].sum() / max(left, 1))
        if left <= 1 or not more.any():
            return is_spike
        is_spike |= more


def _fewer(starts: npt.NDArray[np.int64], counts: Doubles, buckets: int) -> npt.NDArray[np.int64]:
    """Join the lightest stretch with its lighter neighbour until each can have a bucket."""
    while len(starts) > buckets:
        masses = np.add.reduceat(counts, starts)
        lightest = int(np.argmin(masses))
        beside = [one for one in (lightest - 1, lightest + 1) if 0 <= one < len(masses)]
        other = min(beside, key=lambda one: masses[one])
        starts = np.delete(starts, max(lightest, other))
    return starts


def _share_out(masses: Doubles, lengths: npt.NDArray[np.int64], buckets: int) -> npt.NDArray[np.int64]:
    """Give each stretch a bucket, and every further one to the stretch whose buckets are the fullest."""
    shares = np.ones(len(masses), np.int64)
    for _ in range(buckets - len(masses)):
        fullest = int(np.argmax(np.where(shares < lengths, masses / shares, -1.0)))
        if shares[fullest] >= lengths[fullest]:
            break
        shares[fullest] += 1
    return shares


def _cuts(counts: Doubles, parts: int) -> npt.NDArray[np.int64]:
    """Positions at which a stretch is cut into parts of about equal counts."""
    ends = np.cumsum(counts)
    wanted = ends[-1] * np.arange(1, parts) / parts
    after = np.searchsorted(ends - counts / 2, wanted)
    return np.unique(after[(after > 0) & (after < len(counts))])
