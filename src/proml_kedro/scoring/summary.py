"""What was scored, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proml_kedro.formulas import in_shares
from proml_kedro.scoring.counts import Counts

_NAMED = 5
"""How many names a line holds."""


@dataclass(frozen=True)
class ScoringSummary:
    """Summary of a file of scores.

    Attributes:
        bundle: ``name:version``.
        output: The file.
        counts: What was counted.
        sources: Where inputs came from → how many.
        kept: Derived columns that were taken from the file, since it lacks what they are derived from.
        neutral: Inputs that every row was given a neutral value of.
        ignored: Columns of the file that nothing reads.
        values_end: View → its newest value, ISO 8601.
        seconds: How long it took.
    """

    bundle: str
    output: Path
    counts: Counts
    sources: Mapping[str, int]
    kept: Sequence[str] = ()
    neutral: Sequence[str] = ()
    ignored: Sequence[str] = ()
    values_end: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield the summary, the most important line first."""
        counts = self.counts
        yield f"{counts.rows:,} rows scored by {self.bundle} into {self.output} in {self.seconds:.1f} s{self._scores()}"
        yield "inputs: " + ", ".join(f"{number} {source}" for source, number in self.sources.items() if number)
        if self.kept:
            yield f"taken from the file, which lacks what they are derived from: {_named(self.kept)}"
        if self.neutral:
            yield f"not in the file, so of neutral value in every row: {_named(self.neutral)}"
        if counts.missing:
            shares = [f"{name} {_share(number, counts.rows)}" for name, number in counts.missing.most_common()]
            yield f"missing values: {_named(shares)}"
        if counts.no_moment:
            yield f"without a moment, so that nothing is looked up: {_share(counts.no_moment, counts.rows)} of rows"
        for view, end in self.values_end.items() if counts.newest else ():
            unknown = f"nothing is known of {_share(counts.unknown[view], counts.rows)} of rows at their moment"
            yield f"{view}: looked up as of moments up to {counts.newest}, its newest value is of {end}; {unknown}"
        if self.ignored:
            yield f"columns that the model does not read: {_named(self.ignored)}"

    def _scores(self) -> str:
        counts = self.counts
        if not counts.rows:
            return ""
        if counts.classes:
            return f": {in_shares({name: count / counts.rows for name, count in counts.classes.items()})}"
        return f": mean {counts.total / counts.rows:.4g}, from {counts.low:.4g} to {counts.high:.4g}"


def _share(number: int, rows: int) -> str:
    return f"{number:,} ({number / rows:.2%})" if number and rows else "0"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
