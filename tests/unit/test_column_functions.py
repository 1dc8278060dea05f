"""Functions that producers and on-demand features share agree with references: scikit-learn, DuckDB, NumPy by hand."""

from __future__ import annotations

import logging
import math
from itertools import product

import duckdb
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import jaccard_score

from proml_kedro.column_functions.dates import date_part, time_since
from proml_kedro.column_functions.numbers import clip, difference, log1p
from proml_kedro.column_functions.texts import cross, text_overlap, tfidf_similarity
from proml_kedro.column_functions.vectors import cosine_similarity, dot, euclidean_distance
from proml_kedro.models.component import Input
from proml_kedro.models.kinds import component_of
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import spec_of
from proml_kedro.spec.moments import DATE_PARTS

NAN, INF = math.nan, math.inf


def texts(*values: str | None) -> np.ndarray:
    return np.array([*values, None], object)[:-1]


def test_numbers():
    x = np.array([0.0, 5.0, -1.0, -2.0, 1e300, NAN, INF, -INF])
    np.testing.assert_array_equal(log1p(x)[:2], np.log1p(x[:2]))
    assert np.isnan(log1p(x)[[2, 3, 5, 6, 7]]).all()
    assert log1p(x)[4] == math.log(1e300)
    np.testing.assert_array_equal(difference(x, x[::-1])[[1, 6]], [NAN, NAN])
    assert difference(np.array([1e308]), np.array([-1e308])).tolist() == pytest.approx([NAN], nan_ok=True)
    assert clip(x, -1, 2).tolist() == pytest.approx([0, 2, -1, -1, 2, NAN, 2, -1], nan_ok=True)


SCALES = [(dtype, scale) for dtype in (np.float32, np.float64) for scale in (1e-30, 1.0, 1e30)]


@pytest.mark.parametrize(("dtype", "scale"), [*SCALES, (np.float64, 1e200)])
def test_vectors_are_as_in_exact_arithmetic(dtype, scale):
    """Euclidean distances of vectors whose squares no float32 holds; dot products and cosines where they can be."""
    generator = np.random.default_rng(0)
    left, right = (scale * generator.normal(size=(2, 50, 8))).astype(dtype)
    right[0], left[1], left[2], right[3] = left[0], 0, NAN, right[3] * np.float64(1e-3)
    here, there = left.astype(object), right.astype(object)
    wanted = [math.dist(map(float, a), map(float, b)) for a, b in zip(here, there, strict=True)]
    found = euclidean_distance(left, right)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=4e-7 if dtype == np.float32 else 1e-15)
    if scale == 1:
        by_hand = [
            math.fsum(float(a) * float(b) for a, b in zip(*two, strict=True)) for two in zip(here, there, strict=True)
        ]
        np.testing.assert_allclose(dot(left, right), by_hand, atol=2e-6 if dtype == np.float32 else 1e-14)
        lengths = [math.hypot(*map(float, a)) * math.hypot(*map(float, b)) for a, b in zip(here, there, strict=True)]
        cosines = [a / b if b else NAN for a, b in zip(by_hand, lengths, strict=True)]
        np.testing.assert_allclose(cosine_similarity(left, right), cosines, atol=1e-6)


WORDS = ["senior", "Data", "engineer", "of", "Köln", "x", "C3"]


def random_texts(generator, rows):
    drawn = [" ".join(generator.choice(WORDS, generator.integers(0, 6))) for _ in range(rows)]
    return texts(*(None if generator.random() < 0.1 else one for one in drawn))


def test_text_overlap_is_jaccard_of_scikit_learn():
    generator = np.random.default_rng(1)
    left, right = random_texts(generator, 300), random_texts(generator, 300)
    found = text_overlap(left, right)
    for one, other, value in zip(left, right, found, strict=True):
        sets = [{w.lower() for w in (text or "").split()} for text in (one, other)]
        if one is None or other is None or not (sets[0] | sets[1]):
            assert np.isnan(value)
            continue
        flags = np.array([[word.lower() in side for word in WORDS] for side in sets])
        assert value == pytest.approx(jaccard_score(flags[0], flags[1]), abs=1e-15)
    assert text_overlap(texts("?", "", "A-b"), texts("!", "a", "b a")).tolist() == pytest.approx(
        [NAN, 0, 1], nan_ok=True
    )


def fitted(left, right):
    inputs = [Input("a.x", "str"), Input("a.y", "str")]
    spec = spec_of("tfidf_similarity").model_validate({"kind": "tfidf_similarity", "inputs": ["a.x", "a.y"]})
    component = component_of("tfidf_similarity")(spec, inputs)
    from proml_kedro.models.component import Examples, FitContext

    rows = Examples({"a.x": left, "a.y": right}, np.zeros(len(left)))
    component.fit(rows, rows, FitContext(HardwareSpec(threads=1), seed=0))
    return component


def test_tfidf_similarity_is_that_of_scikit_learn():
    generator = np.random.default_rng(2)
    left, right = random_texts(generator, 300), random_texts(generator, 300)
    found = fitted(left, right).score({"a.x": left, "a.y": right})["value"]
    known = sorted({one for one in (*left, *right) if one is not None})
    theirs = TfidfVectorizer(token_pattern=r"(?u)\w+").fit(known)
    for one, other, value in zip(left, right, found, strict=True):
        if not (one and other):
            assert np.isnan(value)
            continue
        product_of = theirs.transform([one]).multiply(theirs.transform([other])).sum()
        assert value == pytest.approx(product_of, abs=1e-12)


def test_a_word_that_is_new_is_the_rarest_and_lets_texts_differ():
    component = fitted(texts("a b", "a c"), texts("a", None))  # three texts: a in 3, b and c in 1
    rare, often = 1 + math.log(4 / 2), 1 + math.log(4 / 4)
    new = 1 + math.log(4)
    found = component.score({"a.x": texts("a new", "new", "a b"), "a.y": texts("a", "new", "b other")})["value"]
    expected = [often / math.hypot(often, new), 1.0, rare**2 / (math.hypot(often, rare) * math.hypot(rare, new))]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert tfidf_similarity(texts("a"), texts("b"), {}, 1.0).tolist() == [0]


def test_a_cross_tells_all_combinations_apart():
    parts = [None, "", "a", "|", "\\", "a|", "|a", "\\|", "a\\", "None"]
    columns = list(zip(*product(parts, repeat=3), strict=True))
    crossed = cross([texts(*one) for one in columns])
    known = [one for one in crossed if one is not None]
    assert len(known) == (len(parts) - 1) ** 3 == len(set(known))


MOMENTS = [
    "2024-02-29",
    "2023-12-31 23:59:59.75",
    "2021-01-03T12:30:00",
    "1969-07-20 20:17",
    "2026-06-01T00:30:00",
    None,
]


@pytest.mark.parametrize("part", DATE_PARTS)
def test_parts_of_dates_are_those_of_duckdb(part):
    with duckdb.connect(config={"threads": 1}) as session:
        session.execute("CREATE TABLE t (id INTEGER, m VARCHAR)")
        session.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(MOMENTS)))
        sql = f"SELECT date_part('{part}', m::TIMESTAMP) FROM t ORDER BY id"
        wanted = [NAN if one is None else one for (one,) in session.execute(sql).fetchall()]
    assert date_part(part, texts(*MOMENTS)).tolist() == pytest.approx(wanted, nan_ok=True)


def test_clocks_of_a_time_zone_count_and_offsets_are_heeded():
    moments = texts(
        "2026-03-08T06:59:00Z", "2026-03-08T07:00:00", "2026-03-08T02:00:00-05:00", "2026-01-01T03:00:00+00"
    )
    assert date_part("hour", moments, "America/New_York").tolist() == [1, 3, 3, 22]  # summer time begins at 2
    assert date_part("year", moments, "America/New_York").tolist() == [2026, 2026, 2026, 2025]
    assert date_part("hour", moments).tolist() == [6, 7, 7, 3]
    assert np.isnan(date_part("year", texts("0001-01-01"), "America/New_York")).all()  # the year 0


def test_time_since_is_exact_to_the_microsecond():
    now = texts("2026-06-01T12:00:00.000001Z", "2026-06-01", "2026-06-01", "soon", None)
    then = texts("2026-06-01T14:00:00+02:00", "2026-06-03", "1996-06-01", "2026-06-01", "2026-06-01")
    found = time_since("seconds", now, then)
    assert found[0] == pytest.approx(1e-6, rel=0.3)
    assert time_since("days", now, then)[1:3].tolist() == [-2, 10957]
    assert np.isnan(found[3:]).all()


def test_it_is_said_when_a_column_holds_no_dates(caplog):
    with caplog.at_level(logging.WARNING):
        date_part("year", texts(*(f"2026-06-{day:02}" for day in range(1, 31)), *(f"{n}/5/2026" for n in range(20))))
        assert not caplog.messages
        date_part("year", texts(*(f"{n}/5/2026" for n in range(150))))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("150 of 150 texts are no dates")
    assert "/5/" not in caplog.text
