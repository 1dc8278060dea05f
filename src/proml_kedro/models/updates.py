"""Updates of a fitted component by rows that came later, without those it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from proml_kedro.models.component import Examples


@dataclass(frozen=True)
class UpdateFacts:
    """What an update has changed, and how far the rows go from what it leaves as it was.

    Attributes:
        rows: Number of rows that were learned from.
        digest: Hash of these rows, in any order.
        changed: Number of entities that were estimated anew, by effect.
        added: Number of those among them that were not known, by effect.
        label: Sum of the labels.
        before: Sum of the scores of the rows before the update.
        after: Sum of their scores after it.
        moved: Largest change of a fixed effect that a refit with these rows would make, in its standard errors.
        moved_of: Name of that fixed effect.
        p_value: Probability of a change as significant, of any fixed effect, if the fixed effects had not changed.
        is_refit_due: Whether a whole refit is due.
    """

    rows: int
    digest: str
    changed: dict[str, int]
    added: dict[str, int]
    label: float
    before: float
    after: float
    moved: float
    moved_of: str
    p_value: float
    is_refit_due: bool


@runtime_checkable
class Updatable(Protocol):
    """Component that learns from new rows in place."""

    def update(self, examples: Examples, key: str) -> UpdateFacts:
        """Learn from rows; what was learned before is the prior.

        Args:
            examples: Rows that are not among those learned from so far.
            key: Where the component stands, for errors.

        Raises:
            UserError: The rows cannot be learned from, or have been.
        """
