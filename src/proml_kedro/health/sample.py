"""Values of a column, counted by the bins of a profile."""

from __future__ import annotations

from dataclasses import dataclass

from proml_kedro.health.statistics import Counts


@dataclass(frozen=True)
class Sample:
    """A column's values, counted by the bins of a profile.

    Attributes:
        rows: Number of rows.
        nulls: Rows without a value; a number that is not finite counts as none.
        infinite: Rows among the nulls with an infinite number.
        counts: Rows with a value in each bin.
        magnitudes: Quantiles of the absolute numbers that are not zero; empty for categories.
        median: Of the numbers; None without any, and for categories.
        new: Rows with a category that the profile does not know.
        outside: Rows with a number beyond the profile's range.
        far: Rows among them beyond it by several times its width.
        distinct: How many different values there are, as far as that is known: 0, 1, or more.
        rest: The numbers that are not the profile's spike, counted by bins of their own; None without a spike.
    """

    rows: int
    nulls: int
    infinite: int
    counts: Counts
    magnitudes: tuple[float, ...] = ()
    median: float | None = None
    new: int = 0
    outside: int = 0
    far: int = 0
    distinct: int = 2
    rest: Sample | None = None

    @property
    def values(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    @property
    def new_share(self) -> float:
        """Share of the values that are categories which the profile does not know."""
        return self.new / self.values if self.values else 0.0

    @property
    def outside_share(self) -> float:
        """Share of the values that are numbers beyond the profile's range."""
        return self.outside / self.values if self.values else 0.0

    @property
    def null_share(self) -> float:
        """Share of rows without a value."""
        return self.nulls / self.rows if self.rows else 0.0
