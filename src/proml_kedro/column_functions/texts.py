"""Functions of texts: object arrays of shape (n,) with None for missing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[np.object_]
T = TypeVar("T")

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Split a text into words in lower case: letters, digits and underscores in a row.

    >>> words_of("Senior C++ Engineer, R&D")
    ['senior', 'c', 'engineer', 'r', 'd']
    """
    return _WORD.findall(text.lower())


def text_overlap(left: Texts, right: Texts) -> npt.NDArray[np.float64]:
    """Compute the share of the words in either of two texts that are in both (Jaccard), shape (n,).

    It is missing where a text is missing, and where neither has a word.
    """
    sets = _each(lambda text: frozenset(words_of(text)), left, right)
    return _by_pairs(left, right, lambda one, other: _jaccard(sets[one], sets[other]))


def tfidf_similarity(
    left: Texts, right: Texts, weights: Mapping[str, float], unknown: float
) -> npt.NDArray[np.float64]:
    """Compute the cosine of two texts as vectors of words, each counted with its weight, shape (n,).

    It is missing where a text is missing or has no word.

    Args:
        left: The one text of each row.
        right: The other.
        weights: The weight of a word.
        unknown: The weight of a word that has none.
    """
    vectors = _each(lambda text: _unit_vector(text, weights, unknown), left, right)

    def cosine(one: str, other: str) -> float:
        here, there = vectors[one], vectors[other]
        if not here or not there:
            return math.nan
        return math.fsum(weight * there[word] for word, weight in here.items() if word in there)

    return _by_pairs(left, right, cosine)


def cross(columns: Sequence[Texts]) -> Texts:
    r"""Join the categories of each row to one, missing where one of them is; different rows never become equal.

    >>> cross([np.array(["a", "a|b", None], object), np.array(["b|c", "c", "d"], object)]).tolist()
    ['a|b\\|c', 'a\\|b|c', None]
    """
    joined: dict[tuple[str | None, ...], str | None] = {}
    rows = list(zip(*(one.tolist() for one in columns), strict=True))
    for row in rows:
        if row not in joined:
            joined[row] = None if None in row else "|".join(_escaped(str(one)) for one in row)
    return np.array([*(joined[row] for row in rows), None], object)[:-1]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("|", r"\|")


def _each(function: Callable[[str], T], *columns: Texts) -> dict[str, T]:
    """A function of each text that occurs, computed once."""
    return {one: function(one) for one in {text for column in columns for text in column.tolist()} if one is not None}


def _by_pairs(left: Texts, right: Texts, function: Callable[[str, str], float]) -> npt.NDArray[np.float64]:
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    values = (math.nan if one is None or other is None else function(one, other) for one, other in pairs)
    return np.fromiter(values, np.float64, len(left))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    either = len(one | other)
    return len(one & other) / either if either else math.nan


def _unit_vector(text: str, weights: Mapping[str, float], unknown: float) -> dict[str, float]:
    counts: Mapping[str, Any] = Counter(words_of(text))
    vector = {word: count * weights.get(word, unknown) for word, count in counts.items()}
    length = math.sqrt(math.fsum(one * one for one in vector.values()))
    return {word: one / length for word, one in vector.items()}
