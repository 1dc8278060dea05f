"""Likeness of two features, by their words and their computation."""

from __future__ import annotations

from dataclasses import dataclass

from proml_kedro.marketplace.entry import Entry
from proml_kedro.marketplace.words import words

_SAME = 0.95
"""The likeness of two features that compute the same under different names."""


@dataclass(frozen=True)
class FeatureWords:
    """Words and computation of a feature, which likeness is measured by.

    Attributes:
        entry: The feature.
        words: Words of its name, description and definition.
        computation: Two features with the same one have the same values.
    """

    entry: Entry
    words: frozenset[str]
    computation: tuple[str, str, str, int]

    @classmethod
    def of(cls, entry: Entry) -> FeatureWords:
        """Describe a feature."""
        definition = entry.definition
        said = frozenset(words(f"{entry.name} {entry.description} {definition}"))
        return cls(entry, said, (definition, entry.source, entry.entity, entry.window_seconds))


def likeness(one: FeatureWords, other: FeatureWords) -> float:
    """Jaccard index of the words of two features, from 0 to 1; at least 0.95 when they compute the same."""
    alike = len(one.words & other.words) / len(one.words | other.words)
    return max(alike, _SAME) if one.computation == other.computation else alike
