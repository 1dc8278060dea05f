"""``drift``: whether current data is still like the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from proml_kedro.results.json_file import JsonFile

ColumnVerdict = Literal["ok", "warn", "drift"]
Verdict = Literal["ok", "warn", "drift", "insufficient"]


@dataclass(frozen=True)
class Measurement:
    """The difference that a check measured in one column.

    Attributes:
        size: How large the difference is; None when there is nothing to compare.
        limit: From where on it counts.
        p_value: How likely it is by chance; None for a check without a test.
    """

    size: float | None
    limit: float
    p_value: float | None = None


@dataclass(frozen=True)
class Cause:
    """The check that decided the verdict on a column: of its reasons the one farthest beyond its limit.

    Of a column that is like the reference, the distribution.

    Attributes:
        check: Its name.
        share: The difference as a share of the limit; None when it is beyond any number, or undefined.
    """

    check: str
    share: float | None


COLUMN_WORDS: Mapping[ColumnVerdict, str] = {"ok": "like the reference", "warn": "differs", "drift": "drifted"}
"""The verdict on a column, as every report and page says it."""


@dataclass(frozen=True)
class ColumnDrift:
    """The verdict on one column, with what was measured.

    Attributes:
        name: Of the column.
        verdict: ``drift`` when a reason is one of the gate's ``fail_on``, or the evidence is severe; ``warn`` from an
            evidence of 1 on. The evidence is how many times its limit the worst reason is, times ``weight``.
        reasons: Checks that found something.
        message: The same in words; empty when all is well.
        psi: Population stability index, less what chance adds; None when there is nothing to compare.
        threshold: From where on it counts.
        p_value: Of the G-test over the same bins.
        nulls: Share of rows without a value, in the reference and in the current data.
        scale: Factor by which the size of the numbers changed; 1 for categories.
        new_values: Share of current values that are categories the reference does not have.
        checks: What the gate's further checks measured, by their names.
        cause: The check that decided; None in results of earlier versions.
        weight: How much the column matters to the model: 1 for the one that matters most, 2 for the score itself.
        is_silent: Whether the current column tells no rows apart: it is missing, empty, or has one value throughout.
    """

    name: str
    verdict: ColumnVerdict
    reasons: tuple[str, ...] = ()
    message: str = ""
    psi: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    nulls: tuple[float, float] | None = None
    scale: float | None = None
    new_values: float | None = None
    checks: Mapping[str, Measurement] = field(default_factory=dict)
    cause: Cause | None = None
    weight: float = 1.0
    is_silent: bool = False

    @property
    def words(self) -> str:
        """The verdict, with its causes: ``differs: nulls``."""
        if not self.reasons:
            return COLUMN_WORDS[self.verdict]
        verdict = "matters little" if self.verdict == "ok" else COLUMN_WORDS[self.verdict]
        return f"{verdict}: {', '.join(self.reasons)}"


@dataclass(frozen=True)
class DriftResult(JsonFile):
    """The verdict on all columns: ``drift.json``.

    Attributes:
        verdict: ``drift`` when a column's is, when a source is lost, or when the share of sources that differ reaches
            the gate's ``fail_share``; ``warn`` when any other column differs; ``insufficient`` with too few rows to
            tell.
        reference_rows: Rows of the reference.
        current_rows: Rows of the current data.
        flagged_share: Share of the checked columns that differ or drifted.
        notices: What was not checked, and why.
        columns: What was found in each checked column, the worst first.
        lost: Sources of which no column says anything any more.
        needed_rows: How many rows each side must have for a verdict; 0 in results of earlier versions.
    """

    FILE = "drift.json"
    INDENT = 2

    verdict: Verdict
    reference_rows: int
    current_rows: int
    flagged_share: float
    notices: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    lost: tuple[str, ...] = ()
    needed_rows: int = 0

    @property
    def words(self) -> str:
        """The verdict in words, the same in every report, on the page and on the terminal."""
        if self.verdict == "insufficient":
            return f"too few rows to tell{self._shortage()}"
        if self.verdict == "ok":
            slight = sum(bool(one.reasons) for one in self.columns)
            but = f"; what differs in {slight} of them matters little to the model" if slight else ""
            return f"like the reference, in all of {len(self.columns)} columns{but}"
        if self.verdict == "warn":
            return f"no drift, but {self._count('warn')} {self._differ('warn')}{self._where()}"
        if self.lost:
            return f"drifted: nothing comes from {' and '.join(self.lost)} any more"
        if not (drifted := self._number("drift")):
            return f"drifted: {self._count('warn')} {self._differ('warn')}, which is too many{self._where()}"
        more = f", {self._number('warn')} more {self._differ('warn')}" if self._number("warn") else ""
        return f"drifted: {drifted} of {len(self.columns)} columns{more}{self._where()}"

    def _number(self, verdict: ColumnVerdict) -> int:
        return sum(one.verdict == verdict for one in self.columns)

    def _count(self, verdict: ColumnVerdict) -> str:
        return f"{self._number(verdict)} of {len(self.columns)} columns"

    def _differ(self, verdict: ColumnVerdict) -> str:
        return "differs" if self._number(verdict) == 1 else "differ"

    def _where(self) -> str:
        """Name the column to look at first, and why."""
        worst = next((one for one in self.columns if one.verdict != "ok" and one.cause), None)
        return f"; look at {worst.name} ({worst.cause.check})" if worst and worst.cause else ""

    def _shortage(self) -> str:
        short = [(self.current_rows, "current"), (self.reference_rows, "reference")]
        few = [f"{rows:,} {side} rows" for rows, side in short if rows < self.needed_rows]
        return f": {' and '.join(few)}, and it takes {self.needed_rows:,}" if few else ""

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, with the verdict in words; a column has ``checks`` where the gate has some."""
        plain = {**super().as_dict(), "words": self.words}
        for column in plain["columns"]:
            if not column["checks"]:
                del column["checks"]
        return plain
