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
        verdict: ``drift`` when a reason is one of the gate's ``fail_on``, ``warn`` when none is.
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

    @property
    def words(self) -> str:
        """The verdict, with its causes: ``differs: nulls``."""
        return (
            f"{COLUMN_WORDS[self.verdict]}: {', '.join(self.reasons)}" if self.reasons else COLUMN_WORDS[self.verdict]
        )


@dataclass(frozen=True)
class DriftResult(JsonFile):
    """The verdict on all columns: ``drift.json``.

    Attributes:
        verdict: ``drift`` when a column's is, or when the share of columns with a finding reaches the gate's
            ``fail_share``; ``warn`` with any other finding; ``insufficient`` with too few rows to tell.
        reference_rows: Rows of the reference.
        current_rows: Rows of the current data.
        flagged_share: Share of the checked columns with a finding.
        notices: What was not checked, and why.
        columns: What was found in each checked column, the worst first.
    """

    FILE = "drift.json"
    INDENT = 2

    verdict: Verdict
    reference_rows: int
    current_rows: int
    flagged_share: float
    notices: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]

    @property
    def words(self) -> str:
        """The verdict in words, the same in every report, on the page and on the terminal."""
        of, drifted, differ = (
            len(self.columns),
            sum(one.verdict == "drift" for one in self.columns),
            sum(one.verdict == "warn" for one in self.columns),
        )
        if self.verdict == "insufficient":
            return "too few rows to tell"
        if self.verdict == "ok":
            return f"like the reference, in all of {of} columns"
        if self.verdict == "warn":
            return f"no drift, but {differ} of {of} columns differ{'s' * (differ == 1)}"
        if not drifted:
            return f"drifted: {differ} of {of} columns differ{'s' * (differ == 1)}, which is too many"
        more = f", {differ} more differ{'s' * (differ == 1)}" if differ else ""
        return f"drifted: {drifted} of {of} columns{more}"

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, with the verdict in words; a column has ``checks`` where the gate has some."""
        plain = {**super().as_dict(), "words": self.words}
        for column in plain["columns"]:
            if not column["checks"]:
                del column["checks"]
        return plain
