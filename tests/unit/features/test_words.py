"""Texts are found by beginnings of words, whatever the words are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proml_kedro.marketplace.words import WordIndex, words

TEXTS = st.lists(st.text(alphabet="abAB1 _.é\U0001d7d8中", max_size=12), max_size=12)


@given(TEXTS, st.text(alphabet="ab1e0中", max_size=3))
def test_an_index_finds_what_looking_through_all_texts_finds(texts: list[str], beginning: str) -> None:
    index = WordIndex.read(WordIndex.of(texts).stored())
    expected = {number for number, text in enumerate(texts) if any(one.startswith(beginning) for one in words(text))}
    assert set(index.having(beginning).tolist()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("origin_delays.delay_24h", ["origin", "delays", "delay", "24h"]),
        ("MÜLLER's Größe", ["muller", "s", "grosse"]),
        ("  _._ ", []),
        ("naïve café", ["naive", "cafe"]),
        ("東京 delay", ["東京", "delay"]),
    ],
)
def test_words_have_neither_case_nor_accents(text: str, expected: list[str]) -> None:
    assert words(text) == expected
