"""Each compiled pass against its equation written with NumPy."""

import numpy as np
import pytest

from dense_mixed import arrange, derivatives, make_problem
from proml_kedro.models.mixed.losses import CODES, averaged_margin
from proml_kedro.models.mixed.memory.kernels import dense as dense_kernels
from proml_kedro.models.mixed.memory.kernels import rows as row_kernels


@pytest.fixture(params=[(1, 1), (2, 1), (3, 2)], ids=str)
def rows(request):
    weight = np.random.default_rng(3).uniform(0.3, 3, 400)
    return arrange(*make_problem(entities=(23, 11), dimensions=request.param), weight)


@pytest.fixture
def random():
    return np.random.default_rng(5)


@pytest.fixture
def state(rows, random):
    """Margins' scale, coefficients, weights, and a positive definite inverse for each entity."""
    d = rows.z.shape[1]
    roots = random.normal(size=(rows.entities + 1, d, d))
    return {
        "kappa": random.uniform(0.5, 1, len(rows)),
        "u": random.normal(size=(rows.entities + 1, d)),
        "x": random.normal(size=rows.width),
        "weight": random.uniform(0.05, 0.25, len(rows)),
        "inverse": 0.1 * (roots @ roots.transpose(0, 2, 1)) + 0.1 * np.eye(d),
    }


def entity_of_row(rows):
    return np.repeat(np.arange(rows.entities + 1), np.diff(rows.starts))


def sparse_part(rows):
    """The sparse matrix A, dense."""
    matrix = np.zeros((len(rows), rows.width))
    np.add.at(matrix, (np.arange(len(rows))[:, None], rows.index), rows.value.astype(np.float64))
    return matrix


def slopes_matrix(rows):
    """Z, dense: the eliminated effect's columns."""
    hot = (entity_of_row(rows)[:, None] == np.arange(rows.entities + 1)).astype(np.float64)
    return (hot[:, :, None] * rows.z[:, None, :]).reshape(len(rows), -1)


def block_diagonal(blocks):
    count, d, _ = blocks.shape
    matrix = np.zeros((count, d, count, d))
    matrix[np.arange(count), :, np.arange(count), :] = blocks
    return matrix.reshape(count * d, count * d)


def averaged(loss, eta, label, k):
    """As :func:`derivatives`, where the likelihood is averaged over a posterior."""
    _, slope, curve = derivatives(loss, eta, label)
    if loss == "poisson":
        return label - k * curve, k * curve
    if loss == "linear":
        return slope, curve
    margin, along = averaged_margin(eta, k)
    p = 1 / (1 + np.exp(-margin))
    return label - p, along * p * (1 - p)


def linearise(rows, state, loss, offset, scale):
    n, d = rows.z.shape
    per_row = [np.empty(n) for _ in range(3)]
    sums = np.zeros((rows.entities + 1, d)), np.zeros((rows.entities + 1, d, d))
    row_kernels.linearise(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, offset, rows.label, rows.weight,
        CODES[loss], scale, state["kappa"], state["u"], state["x"], *per_row, *sums,
    )  # fmt: skip
    return *per_row, *sums


@pytest.mark.parametrize("loss", CODES)
def test_linearise(rows, state, loss):
    eta, residual, weight, gradient, information = linearise(rows, state, loss, rows.offset, 0.7)
    entity, z = entity_of_row(rows), rows.z.astype(np.float64)
    margin = rows.offset + sparse_part(rows) @ state["x"] + (z * state["u"][entity]).sum(1)
    slope, curve = averaged(loss, margin, rows.label.astype(np.float64), state["kappa"])
    factor = 0.7 * rows.weight.astype(np.float64)
    np.testing.assert_allclose(eta, margin, atol=1e-10)
    np.testing.assert_allclose(residual, factor * slope, rtol=1e-9)
    np.testing.assert_allclose(weight, factor * curve, rtol=1e-9)
    hot = (entity[:, None] == np.arange(rows.entities + 1)).astype(np.float64)
    np.testing.assert_allclose(gradient, hot.T @ (residual[:, None] * z), atol=1e-8)
    np.testing.assert_allclose(information, np.einsum("ne,n,na,nb->eab", hot, weight, z, z), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", CODES)
def test_derivatives_are_those_of_the_likelihood(loss):
    """By differences: the slope of the slope, and where nothing is averaged of the likelihood."""
    code, h, one = CODES[loss], 1e-5, np.ones(1)
    for margin, label, k in ((-2.3, 1.0, 1.0), (0.4, 0.0, 0.6), (1.7, 1.0, 0.8), (-7.0, 0.0, 0.7), (14.0, 0.0, 0.7)):
        above, here, below = (row_kernels.likelihood(code, margin + change, label, k) for change in (h, 0, -h))
        assert here[1] == pytest.approx(-(above[0] - below[0]) / (2 * h), rel=1e-6, abs=1e-10)
        if k == 1 or loss == "linear":
            lost = [
                row_kernels.negative_log_likelihood(0, 1, margin + c * one, label * one, one, code) for c in (h, -h)
            ]
            assert here[0] == pytest.approx(-(lost[0] - lost[1]) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("loss", CODES)
def test_negative_log_likelihood(rows, random, loss):
    eta = random.normal(size=len(rows))
    each, _, _ = derivatives(loss, eta, rows.label.astype(np.float64))
    found = row_kernels.negative_log_likelihood(3, 90, eta, rows.label, rows.weight, CODES[loss])
    assert found == pytest.approx(rows.weight[3:90] @ each[3:90])


@pytest.mark.parametrize("loss", CODES)
def test_linearise_survives_margins_of_any_size(rows, state, loss):
    for size in (1e3, -1e3, 1e30, -1e30):
        found = linearise(rows, state, loss, np.full(len(rows), size, np.float32), 1.0)
        assert all(np.isfinite(one).all() for one in found)


def test_eliminate(rows, state, random):
    residual = random.normal(size=len(rows))
    step = random.normal(size=state["u"].shape)
    widest = max(group.dimension for group in rows.groups)
    gradient, blocks = np.zeros(rows.width), np.zeros((rows.width, widest))
    row_kernels.eliminate(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, rows.bounds,
        residual, state["weight"], state["inverse"], step, gradient, blocks,
    )  # fmt: skip
    entity, a = entity_of_row(rows), sparse_part(rows)
    along = (rows.z * step[entity]).sum(1)
    np.testing.assert_allclose(gradient, a.T @ (residual - state["weight"] * along), atol=1e-9)
    leverage = np.einsum("na,nab,nb->n", rows.z, state["inverse"][entity], rows.z)
    corrected = state["weight"] * np.maximum(1 - state["weight"] * leverage, 0.02)
    whole = a.T @ (a * corrected[:, None])
    for group in rows.groups:
        for level in range(group.levels):
            at = slice(group.start + level * group.dimension, group.start + (level + 1) * group.dimension)
            np.testing.assert_allclose(blocks[at, : group.dimension], whole[at, at], atol=1e-9)


def test_dense_information(rows, state):
    total = np.zeros((rows.dense, rows.dense))
    sparse = (rows.index, rows.value, rows.dense_entries, state["weight"])
    dense_kernels.add_outer_products(0, rows.entities + 1, rows.starts, *sparse, total)
    dense_kernels.subtract_eliminated(0, rows.entities + 1, rows.starts, rows.z, *sparse, state["inverse"], total)
    expected = schur_complement(rows, state)[: rows.dense, : rows.dense]
    assert rows.dense > rows.fixed
    np.testing.assert_allclose(total + total.T - np.diag(np.diag(total)), expected, atol=1e-9)


def test_schur_product(rows, state, random):
    v, product = random.normal(size=rows.width), np.zeros(rows.width)
    row_kernels.schur_product(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, state["weight"], state["inverse"],
        v, np.empty(len(rows)), product,
    )  # fmt: skip
    np.testing.assert_allclose(product, schur_complement(rows, state) @ v, atol=1e-9)


def schur_complement(rows, state):
    a, z, w = sparse_part(rows), slopes_matrix(rows), state["weight"][:, None]
    return a.T @ (w * a) - a.T @ (w * z) @ block_diagonal(state["inverse"]) @ z.T @ (w * a)


def test_substitute(rows, state, random):
    gradient, v = random.normal(size=state["u"].shape), random.normal(size=rows.width)
    step, direction = np.empty_like(gradient), np.empty(len(rows))
    row_kernels.substitute(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, state["weight"], state["inverse"],
        gradient, v, step, direction,
    )  # fmt: skip
    a, z = sparse_part(rows), slopes_matrix(rows)
    left = gradient.ravel() - z.T @ (state["weight"] * (a @ v))
    np.testing.assert_allclose(step.ravel(), block_diagonal(state["inverse"]) @ left, atol=1e-9)
    np.testing.assert_allclose(direction, a @ v + z @ step.ravel(), atol=1e-9)


@pytest.mark.parametrize("loss", CODES)
def test_slope_along(rows, state, random, loss):
    eta, direction = random.normal(size=len(rows)), random.normal(size=len(rows))
    data = (state["kappa"], rows.label, rows.weight)
    found = row_kernels.slope_along(3, 90, eta, direction, 0.3, *data, CODES[loss], 0.7)
    margin, part = eta + 0.3 * direction, slice(3, 90)
    slope, _ = averaged(loss, margin[part], rows.label[part].astype(np.float64), state["kappa"][part])
    assert found == pytest.approx(-0.7 * rows.weight[part] @ (slope * direction[part]))


def test_the_uncertainty_of_the_rest_is_added(rows, state, random):
    root = random.normal(size=(rows.dense, rows.dense))
    dense = root @ root.T
    covariance = np.empty_like(state["inverse"])
    dense_kernels.add_uncertainty_of_rest(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, rows.dense_entries,
        state["weight"], state["inverse"], dense, covariance,
    )  # fmt: skip
    z, known = slopes_matrix(rows), block_diagonal(state["inverse"])
    cross = known @ z.T @ (state["weight"][:, None] * sparse_part(rows)[:, : rows.dense])
    whole, d = known + cross @ dense @ cross.T, rows.z.shape[1]
    for e in range(rows.entities + 1):
        at = slice(e * d, (e + 1) * d)
        np.testing.assert_allclose(covariance[e], whole[at, at], rtol=1e-8)


def test_row_variance(rows, state, random):
    widest = max(group.dimension for group in rows.groups)
    variances, variance = np.zeros((rows.width, widest)), np.empty(len(rows))
    expected = np.einsum("na,nab,nb->n", rows.z, state["inverse"][entity_of_row(rows)], rows.z)
    a = sparse_part(rows)
    for group in rows.groups:
        d = group.dimension
        roots = random.normal(size=(group.levels, d, d))
        covariances = roots @ roots.transpose(0, 2, 1)
        variances[group.columns, :d] = covariances.reshape(-1, d)
        s = a[:, group.columns].reshape(len(rows), group.levels, d)
        expected += np.einsum("nla,lab,nlb->n", s, covariances, s)
    row_kernels.row_variance(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, rows.bounds,
        state["inverse"], variances, variance,
    )  # fmt: skip
    np.testing.assert_allclose(variance, expected, atol=1e-9)
