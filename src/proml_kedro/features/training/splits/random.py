"""Examples divided at random: for tables without a time, or of things that do not change with it.

The place of an example follows from a digest of what it is and the seed: neither the order of rows nor the number of
threads nor the engine's version changes it, and without strata no other row does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from proml_kedro.engine.duckdb import quote
from proml_kedro.spec.base import Name
from proml_kedro.spec.split import TEST, TRAIN, VALIDATION, ExampleColumns, Share, SplitName, SplitSpec


class RandomSplit(SplitSpec):
    """Which examples train, which choose (validation) and which judge (test), at random.

    Rows with the same keys and moment, or in a table without them equal rows, are on one side.

    Attributes:
        validation: Share of the validation part, such as ``20%``.
        test: Share of the test part.
        seed: Another one divides otherwise.
        group: Column whose rows of one value are on one side, such as the customer; a row without a value is a group of
            its own. Shares are then those of groups.
        stratified: Whether each part has the same share of true labels, or of each class. When left out: for truth
            values and classes without ``group``.
    """

    example: ClassVar[Mapping[str, Any]] = {"validation": "20%", "test": "20%"}

    by: Literal["random"]
    validation: Share
    test: Share
    seed: int = 0
    group: Name | None = None
    stratified: bool | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing to train on")
        if self.group is not None and self.stratified:
            raise ValueError("stratified divides rows, and group keeps rows together; leave one of them out")
        return self

    def divide(self, examples: ExampleColumns) -> str:
        """Return the split of each example, in SQL."""
        place = _digest(examples.identity, self.seed)
        if self.group is not None:
            group = quote(self.group)
            place = f"CASE WHEN {group} IS NULL THEN {place} ELSE {_digest(group, self.seed)} END"
        elif examples.label is not None and self.stratified is not False:
            # Rows that are the same share a rank, and so a side.
            stratum = f"PARTITION BY {examples.label}"
            rank = f"rank() OVER ({stratum} ORDER BY {place})"
            place = f"({rank} - 0.5) / count(*) OVER ({stratum})"
        return (
            f"CASE WHEN {place} < {self.test!r} THEN '{TEST}' "
            f"WHEN {place} < {self.test + self.validation!r} THEN '{VALIDATION}' ELSE '{TRAIN}' END"
        )

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield the group's column."""
        if self.group is not None:
            yield self.group, "group"

    def key_of(self, name: SplitName) -> str:
        """Return the share of the part."""
        return {VALIDATION: "validation", TEST: "test"}.get(name, "")


def _digest(values: str, seed: int) -> str:
    """Return a number from 0 to 1 that follows from values and a seed, in SQL."""
    return f"(md5_number_lower(CAST(row({values}) AS VARCHAR) || ' {seed}') >> 11) / 9007199254740992.0"
