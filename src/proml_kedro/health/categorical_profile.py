"""What is remembered of a column of categories: how often each occurs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from proml_kedro.health.sample import Sample

MOST_BINS = 50
"""Categories that are compared one by one; all others are one bin."""
_KNOWN_CATEGORIES = 10_000
_ID_LIKE = 0.1


class CategoricalProfile(BaseModel):
    """A column of categories.

    Attributes:
        rows: Number of rows.
        nulls: Rows without a category.
        categories: How often each known category occurs, the most frequent ones first; none where they hardly repeat:
            names of people or of sessions are nothing to keep.
        others: Rows with further categories.
        top: Rows with the most frequent category.
        distinct: How many categories there were, also those beyond the ones kept.
        unseen: Share that unknown categories are to be expected to have.
        unseen_error: Standard error of that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["categorical"] = "categorical"
    rows: int
    nulls: int
    categories: dict[str, int]
    others: int = 0
    top: int = 0
    distinct: int
    unseen: float = 0.0
    unseen_error: float = 0.0

    @classmethod
    def of(cls, values: Iterable[str | None]) -> CategoricalProfile:
        """Profile texts, None for null."""
        occurring = Counter(values)
        nulls = occurring.pop(None, 0)
        # By name among equals, so that the order of rows does not matter.
        ranked = sorted(((str(name), count) for name, count in occurring.items()), key=lambda one: (-one[1], one[0]))
        total = sum(count for _, count in ranked)
        once, twice = (sum(count == times for _, count in ranked) for times in (1, 2))
        unseen = once / total if total else 0.0
        known = {} if unseen > _ID_LIKE or len(ranked) > _KNOWN_CATEGORIES else dict(ranked)
        return cls(
            rows=total + nulls,
            nulls=nulls,
            categories=known,
            others=total - sum(known.values()),
            top=ranked[0][1] if ranked else 0,
            distinct=len(ranked),
            unseen=unseen,
            unseen_error=math.sqrt(once + 2 * twice) / total if total else 0.0,
        )

    @property
    def is_id_like(self) -> bool:
        """Whether categories hardly repeat, so that a new one tells nothing."""
        return self.distinct > len(self.categories)

    def sample_of(self, values: Iterable[str | None]) -> Sample:
        """Count other values of the column by the categories of this profile; the last bin is of all others."""
        occurring = Counter(values)
        nulls = occurring.pop(None, 0)
        counts = [occurring.pop(name, 0) for name in self.categories]
        new, distinct = sum(occurring.values()), len(occurring) + sum(one > 0 for one in counts)
        binned = np.array([*counts, new], np.int64)
        return Sample(int(binned.sum()) + nulls, nulls, 0, binned, new=new, distinct=min(2, distinct))

    @property
    def sample(self) -> Sample:
        """What the profile was made from."""
        counts = np.array([*self.categories.values(), self.others], np.int64)
        return Sample(self.rows, self.nulls, 0, counts, distinct=min(2, self.distinct))

    @property
    def bins(self) -> int:
        """How many bins :meth:`bins_of` tells apart."""
        return len(self._places) + 1

    def bins_of(self, values: Iterable[str | None]) -> npt.NDArray[np.int64]:
        """Number the bin of each value, the last one for rare and new ones; -1 for none; shape (n,)."""
        places: dict[str | None, int] = {None: -1}
        places.update(self._places)
        other = len(self._places)
        return np.array([places.get(one, other) for one in values], np.int64)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(list(self.categories)[:MOST_BINS])}
