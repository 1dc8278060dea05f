"""``online_values`` and ``consistency``: what the online store holds, and whether training reads the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from proml_kedro.results.json_file import JsonFile, JsonMapping


@dataclass(frozen=True)
class OnlineValues(JsonMapping):
    """``online_values.json``.

    Attributes:
        views: View → the moment up to which its values are there, in ISO format, and a digest of its history.
    """

    FILE = "online_values.json"

    views: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class FeatureComparison:
    """How a feature compares.

    Attributes:
        feature: ``view.feature``.
        as_of: The moment, in ISO format.
        cells: How many keys were looked at.
        present: For how many of them at least one side has a value.
        mismatches: How many of them differ.
        only_offline: How many of these have a value in the feature table but none online.
        only_online: The reverse.
        worst: Digest of a key → relative difference; ``missing`` when one side has nothing; the largest ones. A digest
            lets two reports be compared, and shows nobody's key or value.
    """

    feature: str
    as_of: str = ""
    cells: int = 0
    present: int = 0
    mismatches: int = 0
    only_offline: int = 0
    only_online: int = 0
    worst: Mapping[str, float | str] | None = None


@dataclass(frozen=True, kw_only=True)
class Consistency(JsonFile):
    """``consistency.json``.

    Attributes:
        features: How many features were compared.
        cells: How many keys were looked at, over all features.
        present: Values that at least one side has.
        mismatches: How many of them differ.
        comparisons: Each feature.
    """

    FILE = "consistency.json"

    features: int
    cells: int = 0
    present: int
    mismatches: int
    comparisons: tuple[FeatureComparison, ...] = ()

    @classmethod
    def summing(cls, comparisons: Sequence[FeatureComparison]) -> Self:
        """Put comparisons together with their sums."""
        return cls(
            features=len(comparisons),
            cells=sum(one.cells for one in comparisons),
            present=sum(one.present for one in comparisons),
            mismatches=sum(one.mismatches for one in comparisons),
            comparisons=tuple(comparisons),
        )
