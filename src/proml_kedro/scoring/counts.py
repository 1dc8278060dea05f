"""What is counted while rows are scored: missing values, keys of which nothing is known, scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proml_kedro.models.component import Columns


@dataclass
class Counts:
    """Counts over rows.

    Attributes:
        rows: How many rows.
        missing: Input → rows without a value.
        unknown: View → rows of which it knows nothing at their moment.
        no_moment: Rows without a moment, of which nothing can be looked up.
        newest: Latest moment as of which features were looked up, ISO 8601; empty when none were.
        total: Sum of scores.
        low: Smallest score.
        high: Largest score.
        classes: Class → rows of which it is the most probable one; empty for other tasks.
    """

    rows: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    no_moment: int = 0
    newest: str = ""
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    classes: Counter[str] = field(default_factory=Counter)

    def add_inputs(self, columns: Columns) -> None:
        """Count missing values."""
        for name, values in columns.items():
            if values.dtype == object:
                missing = values.tolist().count(None)
            else:
                nothing = np.isnan(values)
                missing = int(np.count_nonzero(nothing.any(axis=1) if values.ndim > 1 else nothing))
            if missing:
                self.missing[name] += missing

    def add_scores(self, scores: Any, classes: Sequence[str] = ()) -> None:
        """Count rows and their scores, float64 of shape (n,).

        Args:
            scores: The scores; probabilities of shape (n, classes) count by the largest of each row.
            classes: Names of the classes.
        """
        self.rows += len(scores)
        if classes:
            most = np.bincount(scores.argmax(axis=1), minlength=len(classes)).tolist()
            self.classes.update({name: count for name, count in zip(classes, most, strict=True) if count})
            scores = scores.max(axis=1)
        if len(scores):
            self.total += float(scores.sum())
            self.low, self.high = min(self.low, float(scores.min())), max(self.high, float(scores.max()))

    def add(self, other: Counts) -> None:
        """Add the counts of other rows."""
        self.rows += other.rows
        self.missing.update(other.missing)
        self.unknown.update(other.unknown)
        self.no_moment += other.no_moment
        self.newest = max(self.newest, other.newest)
        self.total += other.total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.classes.update(other.classes)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Counts:
        """Read what ``vars`` has given."""
        return cls(
            **{**content, **{name: Counter(content.get(name, {})) for name in ("missing", "unknown", "classes")}}
        )
