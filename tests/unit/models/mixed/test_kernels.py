"""Each compiled pass against its equation written with NumPy."""

import numpy as np
import pytest

from dense_mixed import make_problem
from proml_kedro.models.mixed import kernels
from proml_kedro.models.mixed.design import arrange


@pytest.fixture(params=[(1, 1), (2, 1), (3, 2)], ids=str)
def rows(request):
    return arrange(*make_problem(entities=(23, 11), dimensions=request.param))


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


def test_linearise(rows, state):
    n, d = rows.z.shape
    eta, residual, weight = np.empty(n), np.empty(n), np.empty(n)
    gradient, information = np.zeros((rows.entities + 1, d)), np.zeros((rows.entities + 1, d, d))
    loss = kernels.linearise(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, rows.offset, rows.label,
        state["kappa"], state["u"], state["x"], eta, residual, weight, gradient, information,
    )  # fmt: skip
    entity, kappa, z = entity_of_row(rows), state["kappa"], rows.z.astype(np.float64)
    margin = rows.offset + sparse_part(rows) @ state["x"] + (z * state["u"][entity]).sum(1)
    p = 1 / (1 + np.exp(-kappa * margin))
    np.testing.assert_allclose(eta, margin, atol=1e-10)
    np.testing.assert_allclose(residual, rows.label - p, atol=1e-10)
    np.testing.assert_allclose(weight, kappa * p * (1 - p), atol=1e-10)
    assert loss == pytest.approx((np.logaddexp(0, kappa * margin) / kappa - rows.label * margin).sum(), rel=1e-10)
    hot = (entity[:, None] == np.arange(rows.entities + 1)).astype(np.float64)
    np.testing.assert_allclose(gradient, hot.T @ (residual[:, None] * z), atol=1e-10)
    np.testing.assert_allclose(information, np.einsum("ne,n,na,nb->eab", hot, weight, z, z), atol=1e-10)


def test_linearise_survives_margins_of_any_size(rows, state):
    n, d = rows.z.shape
    per_row = [np.empty(n) for _ in range(3)]
    sums = np.zeros((rows.entities + 1, d)), np.zeros((rows.entities + 1, d, d))
    for size in (1e3, -1e3, 1e30, -1e30):
        huge = np.full(n, size, np.float32)
        loss = kernels.linearise(
            0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, huge, rows.label,
            state["kappa"], state["u"], state["x"], *per_row, *sums,
        )  # fmt: skip
        assert np.isfinite(loss)
        assert all(np.isfinite(one).all() for one in (*per_row, *sums))


def test_eliminate(rows, state, random):
    residual = random.normal(size=len(rows))
    step = random.normal(size=state["u"].shape)
    widest = max(group.dimension for group in rows.groups)
    gradient, blocks = np.zeros(rows.width), np.zeros((rows.width, widest))
    kernels.eliminate(
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
    kernels.add_outer_products(0, rows.entities + 1, rows.starts, *sparse, total)
    kernels.subtract_eliminated(0, rows.entities + 1, rows.starts, rows.z, *sparse, state["inverse"], total)
    expected = schur_complement(rows, state)[: rows.dense, : rows.dense]
    assert rows.dense > rows.fixed
    np.testing.assert_allclose(np.tril(total), np.tril(expected), atol=1e-9)


def test_schur_product(rows, state, random):
    v, product = random.normal(size=rows.width), np.zeros(rows.width)
    kernels.schur_product(
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
    kernels.substitute(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, state["weight"], state["inverse"],
        gradient, v, step, direction,
    )  # fmt: skip
    a, z = sparse_part(rows), slopes_matrix(rows)
    left = gradient.ravel() - z.T @ (state["weight"] * (a @ v))
    np.testing.assert_allclose(step.ravel(), block_diagonal(state["inverse"]) @ left, atol=1e-9)
    np.testing.assert_allclose(direction, a @ v + z @ step.ravel(), atol=1e-9)


def test_loss_along(rows, state, random):
    eta, direction = random.normal(size=len(rows)), random.normal(size=len(rows))
    loss = kernels.loss_along(3, 90, eta, direction, 0.3, state["kappa"], rows.label)
    margin, kappa = (eta + 0.3 * direction)[3:90], state["kappa"][3:90]
    assert loss == pytest.approx((np.logaddexp(0, kappa * margin) / kappa - rows.label[3:90] * margin).sum())


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
    kernels.row_variance(
        0, rows.entities + 1, rows.starts, rows.z, rows.index, rows.value, rows.bounds,
        state["inverse"], variances, variance,
    )  # fmt: skip
    np.testing.assert_allclose(variance, expected, atol=1e-9)
