"""Each compiled loop of the streamed engine against its equation written with NumPy."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proml_kedro.models.mixed.losses import averaged_margin
from proml_kedro.models.mixed.streamed.kernels.compile import kernels_of
from proml_kedro.models.mixed.streamed.kernels.lanes import exponential
from proml_kedro.models.mixed.streamed.row_format import (
    LINEAR,
    LOGISTIC,
    POISSON,
    WEIGHTED,
    floats_of,
    lanes_of,
    triangle,
)
from proml_kedro.models.mixed.streamed.storage.blocks import PackedPart, pack, pack_population
from proml_kedro.models.mixed.streamed.storage.encode import RowEncoder
from proml_kedro.models.mixed.streamed.storage.entities import number_entities, sample_rows
from proml_kedro.models.mixed.streamed.storage.keys import bytes_of, names_of, order_of, places_among, words_of
from proml_kedro.models.mixed.streamed.storage.partition import ColumnMoments, RowBatch, measure, partition, parts_for

SPREAD, PHI = math.pi / 8, 0.7
relaxed = settings(deadline=None)  # the first example compiles
names = st.lists(st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)))


def make_rows(d, form=LOGISTIC, entities=70, alone=700, seed=0):
    """Words, numbers, and encoder of rows in no order; the first entity has so many that it has a block of its own."""
    generator = np.random.default_rng(seed)
    codes = generator.permutation(np.concatenate([np.zeros(alone), generator.integers(1, entities, 9 * entities)]))
    keys = (codes.astype(np.uint64) + 5)[:, None]
    z = generator.normal(2, 3, (len(codes), d - 1))
    draw = {LINEAR: lambda n: generator.normal(4, 2, n), POISSON: lambda n: generator.poisson(generator.gamma(1, 3, n))}
    label = draw.get(form, lambda n: generator.random(n) < 0.4)(len(codes))
    weight = [] if form == LOGISTIC else [generator.uniform(0.2, 3, len(codes))]
    numbers = np.column_stack([generator.normal(size=len(codes)), z, label, *weight]).astype(np.float32)
    how = np.array([*range(1, d), -1]), np.array([2.0] * (d - 1) + [0]), np.array([1 / 3] * (d - 1) + [1.0])
    unit = (3.0, 2.0) if form == LINEAR else (0.0, 1.0)
    return keys, numbers, RowEncoder(*how, form, form != LOGISTIC, unit)


def design(numbers, encoder):
    """Offset, standardised encoder, label and weight of each row, in float64 and in the unit of the fit."""
    numbers = np.where(np.isfinite(numbers), numbers, np.nan).astype(np.float64)
    z = [
        np.ones(len(numbers)) if column < 0 else np.nan_to_num((numbers[:, column] - mean) * scale)
        for column, mean, scale in zip(encoder.columns, encoder.means, encoder.scales, strict=True)
    ]
    weight = numbers[:, -1] if encoder.weighted else np.ones(len(numbers))
    label = (numbers[:, -2 if encoder.weighted else -1] - encoder.unit[0]) / encoder.unit[1]
    return np.nan_to_num(numbers[:, 0]) / encoder.unit[1], np.column_stack(z), label, weight


def derivative_and_curvature(form, margin, variance, label, spread):
    """Of each row's mean log likelihood over the posterior, as the module says them; by labels of 0 and 1."""
    if form == LINEAR:
        return (label - margin) / PHI, np.full(len(margin), 1 / PHI)
    if form == POISSON:
        mean = np.exp(margin + spread * variance)
        return label - mean, mean
    averaged, along = averaged_margin(margin, 1 / np.sqrt(1 + spread * variance))
    p = 1 / (1 + np.exp(-averaged))
    return label - p, along * p * (1 - p)


def newton(form, rows, c, v, precision, mean, spread):
    """One step for one entity, as the module says: the new c and the new V."""
    offset, z, label, weight = rows
    variance = np.einsum("na,ab,nb->n", z, v, z)
    q, w = derivative_and_curvature(form, offset + z @ c, variance, label, spread)
    gradient = z.T @ (weight * q) - precision @ (c - mean)
    inverse = np.linalg.inv((z * (weight * w)[:, None]).T @ z + precision)
    step = inverse @ gradient
    if form == POISSON:
        longest = np.abs(z).max(0) @ np.abs(step)
        step *= np.log1p(longest) / longest if longest > 1e-9 else 1
    return c + step, inverse


def solve(form, rows, precision, mean, spread, steps=30):
    c, v = mean, np.zeros_like(precision)
    for _ in range(steps):
        c, v = newton(form, rows, c, v, precision, mean, spread)
    return c, v


def packed(folder, d, form=LOGISTIC, **how):
    keys, numbers, encoder = make_rows(d, form, **how)
    pack(keys, numbers, numbers[:0], encoder, folder / "part")
    return PackedPart.open(folder / "part"), keys, numbers, encoder


def swept(part, precision, mean, spread, tolerance=1e-6, most=30, form=LOGISTIC):
    d, f = len(mean), floats_of(form)
    sums = np.zeros(d + 2 * triangle(d) + 1)
    root = np.linalg.cholesky(np.linalg.inv(precision))
    how = *(one.astype(f) for one in (root, np.linalg.inv(root), mean)), *map(f, (spread, 1 / PHI, tolerance)), most
    visited = kernels_of(d, form).sweep(part.rows, part.starts, part.used, part.state, *how, sums)
    return sums, visited


def prior(d):
    root = np.random.default_rng(3).normal(size=(d, d))
    return 0.2 * root @ root.T + np.eye(d), np.linspace(-0.5, 0.5, d)


def full(lower, d):
    matrix = np.zeros((d, d))
    matrix[np.tril_indices(d)] = lower
    return matrix + np.tril(matrix, -1).T


def test_the_exponential_is_one_within_its_accuracy():
    x = np.linspace(-80, 80, 4001, dtype=np.float32)
    found = np.array([exponential(one) for one in x], np.float64)
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=1e-5)
    assert 0 < exponential(np.float32(-1e30)) < exponential(np.float32(1e30)) < np.inf


CASES = [
    *((d, form, spread) for d in (1, 3, 5) for form, spread in ((LOGISTIC, SPREAD), (LOGISTIC, 0.0))),
    *((d, form, spread) for d in (1, 2, 3) for form, spread in ((WEIGHTED, SPREAD), (LINEAR, 0.0), (POISSON, 0.5))),
]
FAST = [
    (1, LOGISTIC, SPREAD),
    (3, LOGISTIC, 0.0),
    *((2, form, spread) for form, spread in ((WEIGHTED, SPREAD), (LINEAR, 0.0), (POISSON, 0.5))),
]
"""One of each form, of a size that other fast tests need too: each kernel takes ten seconds to compile."""

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("d", "form", "spread"), [one if one in FAST else pytest.param(*one, marks=SLOW) for one in CASES]
)
def test_a_sweep_solves_each_entity(d, form, spread, tmp_path):
    part, keys, numbers, encoder = packed(tmp_path, d, form)
    precision, mean = prior(d)
    sums, _ = swept(part, precision, mean, spread, form=form)
    state, expected = part.by_entity(), np.zeros_like(sums)
    assert part.alone == 1
    for word, found in zip(part.words[:, 0], state, strict=True):
        rows = design(numbers[keys[:, 0] == word], encoder)
        c, v = solve(form, rows, precision, mean, spread)
        np.testing.assert_allclose(mean + found[:d], c, atol=2e-4)
        np.testing.assert_allclose(full(found[d:], d), v, atol=2e-4)
        whiten = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(precision)))
        w = whiten @ (c - mean)
        deviance = rows[3] @ (rows[0] + rows[1] @ c - rows[2]) ** 2 / PHI + w @ w if form == LINEAR else 0
        second = [(one)[np.tril_indices(d)] for one in (np.outer(w, w), np.eye(d) - whiten @ v @ whiten.T)]
        expected += np.concatenate([w, *second, [deviance]])
    np.testing.assert_allclose(sums, expected, atol=0.01, rtol=1e-5)


@pytest.mark.parametrize(
    ("d", "form", "spread"),
    [
        (3, LOGISTIC, SPREAD),
        *((2, form, spread) for form, spread in ((WEIGHTED, SPREAD), (POISSON, 0.5))),
        *(pytest.param(3, *one, marks=SLOW) for one in ((WEIGHTED, SPREAD), (LINEAR, 0.0), (POISSON, 0.5))),
    ],
)
def test_one_step_is_newtons(d, form, spread, tmp_path):
    part, keys, numbers, encoder = packed(tmp_path, d, form)
    precision, mean = prior(d)
    swept(part, precision, mean, spread, most=2, form=form)
    for word, found in zip(part.words[:, 0], part.by_entity(), strict=True):
        c, v = solve(form, design(numbers[keys[:, 0] == word], encoder), precision, mean, spread, steps=2)
        np.testing.assert_allclose(found, [*(c - mean), *v[np.tril_indices(d)]], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 1e3, 1e6, 1e9])
def test_counts_of_any_size_are_reached_from_afar(count, tmp_path):
    """A plain Newton step from a mean of 1 to one of a million leads to e^million."""
    numbers = np.array([[0, count], [-5, count], [5, count], [0, 0]], np.float32)
    encoder = RowEncoder(np.array([-1]), np.zeros(1), np.ones(1), POISSON)
    pack(np.array([[1], [2], [3], [3]], np.uint64), numbers, numbers[:0], encoder, tmp_path / "part")
    part = PackedPart.open(tmp_path / "part")
    _, visited = swept(part, np.array([[0.01]]), np.zeros(1), 0.0, most=60, form=POISSON)
    assert visited < 60 * len(part.rows)
    for word, u in zip(part.words[:, 0], part.by_entity()[:, 0].astype(float), strict=True):
        rows = numbers[[0]] if word == 1 else numbers[[1]] if word == 2 else numbers[2:]
        means = np.exp(rows[:, 0] + u)
        assert abs((rows[:, 1] - means).sum() - 0.01 * u) < 1e-5 * (1 + means.sum())


def test_a_step_that_leads_far_beyond_is_taken_back(tmp_path):
    """Wide priors and offsets that are wrong: plain Newton steps go back and forth between 0 and 100 for ever."""
    numbers = np.array([[-20, 1], [15, 0]], np.float32)
    encoder = RowEncoder(np.array([-1]), np.zeros(1), np.ones(1))
    pack(np.array([[1], [2]], np.uint64), numbers, numbers[:0], encoder, tmp_path / "part")
    part = PackedPart.open(tmp_path / "part")
    swept(part, np.array([[0.01]]), np.zeros(1), 0.0, most=40)
    for found, offset, sign in zip(part.by_entity(), (-20, 15), (1, -1), strict=True):
        gradient = sign / (1 + math.exp(sign * (offset + found[0]))) - 0.01 * found[0]
        assert abs(gradient) < 1e-3


@pytest.mark.parametrize(
    ("d", "form"),
    [(3, LOGISTIC), *((2, form) for form in (WEIGHTED, LINEAR, POISSON))]
    + [pytest.param(3, form, marks=SLOW) for form in (WEIGHTED, LINEAR, POISSON)],
)
def test_rows_without_an_entity_are_summed(d, form):
    f = floats_of(form)
    _, numbers, encoder = make_rows(d, form)
    numbers[::7, 1], numbers[::5, 0] = np.nan, np.inf
    mean = np.array([0.3, -0.2, 0.1])[:d]
    g, h = np.zeros(d + 1), np.zeros(triangle(d))
    kernels_of(d, form).population(pack_population(numbers, encoder), mean.astype(f), f(1 / PHI), g, h)
    offset, z, label, weight = design(numbers, encoder)
    q, w = derivative_and_curvature(form, offset + z @ mean, 0, label, 0)
    np.testing.assert_allclose(g[:d], z.T @ (weight * q), rtol=1e-4, atol=0.01)
    np.testing.assert_allclose(full(h, d), (z * (weight * w)[:, None]).T @ z, rtol=1e-4, atol=0.01)
    assert g[d] == (pytest.approx(weight @ (PHI * q) ** 2, rel=1e-6) if form == LINEAR else 0)


def test_blocks_hold_every_row_once(tmp_path):
    part, keys, numbers, encoder = packed(tmp_path, 3)
    offset, z, label, _ = design(numbers, encoder)
    sign = 2 * label - 1
    expected = np.column_stack([sign * offset, sign[:, None] * z])
    found = part.rows.transpose(0, 2, 1).reshape(-1, 4)
    found = found[found[:, 3] != 0]  # the intercept; padding has none
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-5)
    assert dict(zip(part.words[:, 0], part.counts, strict=True)) == dict(
        zip(*np.unique(keys, return_counts=True), strict=True)
    )
    assert part.rows.size < 1.6 * expected.size  # entities beside each other are about equally long
    assert list(part.used[:1]) == [0]
    assert part.used[1:].sum() + 1 == len(part.words)
    assert (part.used[1:-1] == lanes_of(3)).all()


@relaxed
@given(st.lists(st.integers(0, 5), min_size=1), st.integers(1, 9), st.integers(0, 2**31))
def test_a_sample_has_the_size_that_was_asked_for(values, most, seed):
    codes, words, counts = number_entities(np.array(values, np.uint64)[:, None])
    stays = sample_rows(words, codes, counts, most, np.uint64(seed))
    assert list(np.bincount(codes[stays], minlength=len(counts))) == list(np.minimum(counts, most))
    np.testing.assert_array_equal(stays, sample_rows(words, codes, counts, most, np.uint64(seed)))


def test_every_row_is_equally_likely_in_a_sample():
    codes, words, counts = number_entities(np.repeat(np.arange(4000, dtype=np.uint64), 10)[:, None])
    stays = sample_rows(words, codes, counts, 3, np.uint64(1)).reshape(-1, 10)
    np.testing.assert_allclose(stays.mean(0), 0.3, atol=0.03)  # four standard errors
    pairs = stays.T.astype(float) @ stays / 4000
    np.testing.assert_allclose(pairs[~np.eye(10, dtype=bool)], 3 * 2 / (10 * 9), atol=0.016)
    assert (stays != sample_rows(words, codes, counts, 3, np.uint64(2)).reshape(-1, 10)).mean() > 0.3


def test_a_state_can_be_laid_into_blocks(tmp_path):
    part, *_ = packed(tmp_path, 3)
    state = np.random.default_rng(0).normal(size=(len(part.words), 3 + triangle(3))).astype(np.float32)
    part.write_state(state)
    np.testing.assert_array_equal(PackedPart.open(tmp_path / "part").by_entity(), state)


@relaxed
@given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 3))
def test_entities_are_numbered_as_they_come(values, width):
    keys = np.zeros((len(values), width), np.uint64)
    keys[:, -1] = values
    codes, words, counts = number_entities(keys)
    seen = list(dict.fromkeys(values))
    assert [seen[code] for code in codes] == values
    assert list(words[:, -1]) == seen
    assert list(counts) == [values.count(one) for one in seen]


@relaxed
@given(names)
def test_names_are_kept_and_sorted_as_bytes(values):
    column = pa.array(values, pa.string())
    words, known, longest = words_of(column, 10)
    expected = np.array([b"" if one is None else one.encode() for one in values], dtype=bytes)
    assert list(known) == [one is not None for one in values]
    assert longest == max([len(one) for one in expected], default=0)
    if len(values):
        np.testing.assert_array_equal(names_of(words, longest), expected)
        np.testing.assert_array_equal(np.sort(expected), expected[order_of(words)])


@relaxed
@given(st.sets(st.integers(0, 10**18)), st.sampled_from(["m{:09d}", "{:018d}x", "{}", "m{:03d}", "{:036d}"]))
def test_names_that_are_numbered_are_sorted_as_bytes(numbers, form):
    values = [form.format(one) for one in numbers]
    words, _, _ = words_of(pa.array(values, pa.string()), 5)
    assert [values[place] for place in order_of(words)] == sorted(values)


@relaxed
@given(st.sets(st.text("ab\U0001f600", max_size=6)), st.sets(st.text("ab\U0001f600", max_size=4)))
def test_names_are_found_among_others(these, others):
    names, known = (np.array(sorted(one.encode() for one in those), dtype=bytes) for those in (these, others))
    places = np.full(len(names), -2)
    if these and others:
        places_among(bytes_of(names), bytes_of(known), places)
        expected = [list(known).index(one) if one in known else -1 for one in names]
        assert list(places) == expected


@relaxed
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_whole_numbers_are_named_by_their_digits(values):
    words, known, longest = words_of(pa.array(values, pa.int64()), 3)
    expected = [b"" if one is None else str(one).encode() for one in values]
    assert [bytes(one) for one in names_of(words, longest)] == expected
    assert list(known) == [one is not None for one in values]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()], ids=str
)
def test_names_of_any_arrow_type_and_of_a_slice(kind):
    column = pa.array(["a", None, "Zürich", "b" * 9], pa.string()).cast(kind)[1:]
    words, known, longest = words_of(column, 2)
    assert longest == 9
    assert list(known) == [False, True, True]
    assert [one.decode() for one in names_of(words, longest)][1:] == ["Zürich", "b" * 9]


@relaxed
@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(math.nan) | st.just(math.inf), max_size=50), st.booleans())
def test_moments_are_those_of_the_finite_values(values, weighted):
    array = np.array(values, np.float32)
    weight = np.arange(1, len(array) + 1, dtype=np.float32) if weighted else None
    moments = ColumnMoments()
    for part in np.array_split(np.arange(len(array)), 3):
        moments.add(*measure(array[part], None if weight is None else weight[part]))
    finite = array[np.isfinite(array)].astype(np.float64)
    times = np.ones(len(finite)) if weight is None else weight[np.isfinite(array)].astype(np.float64)
    assert moments.count == times.sum()
    if len(finite):
        size, mean = max(1.0, float(np.abs(finite).max())), np.average(finite, weights=times)
        assert moments.mean == pytest.approx(mean, abs=1e-9 * size)
        assert moments.squares == pytest.approx(times @ (finite - mean) ** 2, abs=1e-9 * size**2 * times.sum())


def test_parts_hold_every_row_and_whole_entities(tmp_path, monkeypatch):
    monkeypatch.setattr("proml_kedro.models.mixed.streamed.storage.partition._CHUNK", 64)
    generator = np.random.default_rng(1)
    ids = [None if one == 0 else f"{'x' * one}{one}" for one in generator.integers(0, 30, 1000)]  # longer and longer
    numbers = np.stack([np.arange(1000), generator.random(1000)]).astype(np.float32)

    def read():
        for first in range(0, 1000, 90):
            yield RowBatch(pa.array(ids[first : first + 90]), numbers[:, first : first + 90])

    found = partition(read, 2, False, 5, tmp_path)
    assert (found.rows, found.width, found.longest) == (1000, 4, 31)
    home, seen, counts = {}, [], []
    for part in range(found.parts):
        words, values, nobody = found.read(part)
        assert all(ids[int(row)] is None for row in nobody[:, 0])
        counts.append(len(nobody))
        for name, row in zip(names_of(words, found.longest), values[:, 0], strict=True):
            assert ids[int(row)].encode() == name
            assert home.setdefault(name, part) == part
        seen += [values[:, 0], nobody[:, 0]]
    assert len(set(home.values())) > 1
    assert sum(counts) == ids.count(None)
    assert max(counts) - min(counts) < 16  # one in each chunk at most, and chance
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), numbers[0])
    assert found.moments[1].mean == pytest.approx(numbers[1].mean(dtype=np.float64))


def test_small_data_are_one_part():
    assert [parts_for(rows) for rows in (0, 10, 100_000, 10**8)] == [1, 1, 1, 250]
