"""Places of scored rows among their alternatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.spec.rank import RankSpec

Array = npt.NDArray[Any]
Places = npt.NDArray[np.int64]


def places_of(rank: RankSpec, group: Array, score: Array, attributes: Mapping[str, Array]) -> Places:
    """Place each row in its group, from 1; 0 for a row that is not shown.

    The best row comes first, and of equal scores the one that stands first. Rows are taken greedily: one whose value
    has had its share by ``at_most`` is passed over.

    Args:
        rank: The order, the limit, and the shares.
        group: A number or text of each row; None is a group of its own. Shape (n,).
        score: Shape (n,), finite.
        attributes: The values that ``at_most`` counts, by its keys, None or NaN for missing; shape (n,) each.
    """
    codes = _codes(group)
    order = np.lexsort((np.arange(len(score)), score if rank.order == "ascending" else -score, codes))
    if rank.at_most:
        order = order[_within_shares(rank, codes[order], [attributes[name][order] for name in rank.at_most])]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    found = np.arange(1, len(order) + 1) - np.repeat(starts, np.diff(starts, append=len(order)))
    places = np.zeros(len(score), np.int64)
    places[order] = np.where(found <= (rank.limit or len(score)), found, 0)
    return places


def _codes(group: Array) -> Places:
    """Numbers of groups; each missing one has its own."""
    known: dict[Any, int] = {}
    nothing = (object() for _ in group)
    values = (next(nothing) if one is None or one != one else one for one in group.tolist())
    return np.array([known.setdefault(one, len(known)) for one in values], np.int64)


def _within_shares(rank: RankSpec, codes: Places, attributes: list[Array]) -> npt.NDArray[np.bool_]:
    """Which of the rows, sorted by group and place, have room."""
    has_room = np.ones(len(codes), np.bool_)
    shares = list(rank.at_most.values())
    rows = list(zip(*(one.tolist() for one in attributes), strict=True))
    taken: list[Counter[Any]] = []
    shown, group = 0, -1
    for row, (code, values) in enumerate(zip(codes.tolist(), rows, strict=True)):
        if code != group:
            group, shown, taken = code, 0, [Counter() for _ in shares]
        is_full = any(counts[one] >= most for counts, one, most in zip(taken, values, shares, strict=True))
        if is_full or shown == rank.limit:
            has_room[row] = False
            continue
        shown += 1
        for counts, one in zip(taken, values, strict=True):
            if one is not None and one == one:
                counts[one] += 1
    return has_room
