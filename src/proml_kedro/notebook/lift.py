"""A model beside a baseline: a row for each metric, whose lift is above 0 where the model is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from proml_kedro.notebook.frame import Frame

COLUMNS = ["metric", "Baseline", "NewModel", "Lift", "low", "high", "p", "p of all"]
"""Of a lift table."""


class Difference(Protocol):
    """The difference of one metric, with its interval."""

    difference: Any
    low: Any
    high: Any
    p_value: Any
    p_adjusted: Any
    reason: Any


class Judged(Protocol):
    """Metrics of a model and of what it is compared with."""

    @property
    def candidate(self) -> Mapping[str, Any]:
        """Of the model."""

    @property
    def baseline(self) -> Mapping[str, Any] | None:
        """Of the other one."""

    @property
    def differences(self) -> Mapping[str, Any]:
        """Of each metric, a :class:`Difference`."""


def lift_rows(result: Judged) -> list[dict[str, Any]]:
    """List the metrics; the lift is the difference, above 0 where the model is better, whichever way is up."""
    from proml_kedro.evaluation.metric import higher_is_better

    rows = []
    for name, value in result.candidate.items():
        found: Difference = result.differences[name]
        way = 1 if higher_is_better(name) else -1
        low, high = sorted((found.low, found.high), key=lambda one: way * one) if _told(found) else (None, None)
        rows.append(
            {
                "metric": name,
                "Baseline": (result.baseline or {})[name],
                "NewModel": value,
                "Lift": None if found.difference is None else way * found.difference + 0.0,  # never -0
                "low": None if low is None else way * low + 0.0,
                "high": None if high is None else way * high + 0.0,
                "p": found.p_value,
                "p of all": found.p_adjusted,
            }
        )
    return rows


def _told(found: Difference) -> bool:
    return not found.reason and found.low is not None and found.high is not None


class Lifts(Frame):
    """Rows of metrics; where the whole interval lies on one side of 0 the lift is green for better, red for worse."""

    def _style_of(self, column: str, row: Mapping[str, Any]) -> str:
        low, high = row.get("low"), row.get("high")
        if column != "Lift" or low is None or high is None or low <= 0 <= high:
            return ""
        return "color:#146c2e;font-weight:700" if low > 0 else "color:#b3261e;font-weight:700"
