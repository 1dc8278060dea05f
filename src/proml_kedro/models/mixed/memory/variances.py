"""Between Newton steps: what is estimated from all effects together, their covariances and the dispersion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory.checkpoint import State
from proml_kedro.models.mixed.memory.design import Rows
from proml_kedro.models.mixed.memory.laplace import Skew, second_moment
from proml_kedro.models.mixed.memory.newton import Coefficients, Prior, Step, diagonal_blocks
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes
from proml_kedro.models.mixed.memory.settings import Settings

_NEAR = 0.1  # a step below which covariances are worth a further pass: before, coefficients are far off anyway
_LEAST_DISPERSION = 1e-6  # where labels are known for certain; as a share of their variance


def update_variances(
    passes: Passes,
    state: State,
    at: Linearisation,
    step: Step,
    prior: Prior,
    covariances: Sequence[Covariance],
    settings: Settings,
) -> float:
    """Update every covariance, and the dispersion; the largest relative change."""
    if step.skew is not None:
        return _update_by_laplace(passes.rows, state.now, step, step.skew, covariances)
    near = settings.loss == "linear" or min((one["step"] for one in state.history), default=math.inf) < _NEAR
    effects, uncertainties = effects_of(passes, state.now, at, step, near)
    change = 0.0
    if settings.loss == "linear" and settings.estimate_dispersion:
        free = _free_rows(passes.rows, step, prior, uncertainties)
        change = _update_dispersion(passes, state, free)
    changes = [
        one.update(u.T @ u / len(u), v.mean(0)) for one, u, v in zip(covariances, effects, uncertainties, strict=True)
    ]
    return max(change, *changes)


def _update_by_laplace(
    rows: Rows, now: Coefficients, step: Step, skew: Skew, covariances: Sequence[Covariance]
) -> float:
    """Update every covariance, the fixed effects being taken as known, as they are by maximum likelihood."""
    variances = step.variances.copy()
    for group in rows.groups[: rows.dense_groups]:
        if group.effect is not None:
            variances[group.columns, : group.dimension] = diagonal_blocks(skew.dense, group).reshape(
                -1, group.dimension
            )
    modes, uncertainties = by_effect(rows, now, skew.covariance, variances)
    shifts, _ = by_effect(rows, Coefficients(skew.u, skew.x), skew.covariance, variances)
    return max(
        one.update(second_moment(u, b), v.mean(0))
        for one, u, b, v in zip(covariances, modes, shifts, uncertainties, strict=True)
    )


def _free_rows(rows: Rows, step: Step, prior: Prior, uncertainties: Sequence[Floats]) -> float:
    """Rows less the coefficients that the data determine: trace(H^-1 A'WA) = coefficients - trace(H^-1 precision)."""
    bound = np.trace(step.dense @ prior.of_dense(rows)) if rows.dense else 0.0
    determined = np.count_nonzero(np.diag(step.dense)) - float(bound)  # what is held at zero has no variance
    dense = {group.effect for group in rows.groups[: rows.dense_groups]}
    for group in rows.groups[rows.dense_groups :]:
        if group.effect is None:  # a categorical fixed effect that is too wide: as if independent of all else
            determined += np.count_nonzero(step.variances[group.columns, 0])
    for k, uncertainty in enumerate(uncertainties):
        if k not in dense:
            levels, d, _ = uncertainty.shape
            determined += levels * (d - float(np.einsum("ab,ba->", prior.precisions[k], uncertainty.mean(0))))
    return max(float(rows.weight.sum()) - determined, 1e-3)


def _update_dispersion(passes: Passes, state: State, free: float) -> float:
    """The residual sum of squares for each free row (restricted maximum likelihood); the relative change."""
    last = passes.loss_at(state.now.u, state.now.x)
    new = max(2.0 * last / passes.scale / free, _LEAST_DISPERSION)
    change = abs(new - state.dispersion) / state.dispersion
    state.dispersion = new
    return change


def effects_of(
    passes: Passes, now: Coefficients, at: Linearisation, step: Step, exact: bool = True
) -> tuple[list[Floats], list[Floats]]:
    """Posterior means and covariances of the random effects, in their order; exactly only where that counts."""
    own = passes.add_uncertainty_of_rest(at, step.inverse, step.dense) if exact else step.inverse
    return by_effect(passes.rows, now, own, step.variances)


def by_effect(rows: Rows, now: Coefficients, own: Floats, variances: Floats) -> tuple[list[Floats], list[Floats]]:
    """Coefficients and covariances of the random effects in their order, from where the engine has them.

    Args:
        rows: The data.
        now: The coefficients.
        own: Covariances of the eliminated effect, shape (entities + 1, d, d).
        variances: Of the others, as in :class:`.newton.Step`.
    """
    found = {rows.eliminated: (now.u[: rows.entities], own[: rows.entities])}
    for group in rows.groups:
        if group.effect is not None:
            d = group.dimension
            variance = variances[group.columns, :d].reshape(group.levels, d, d)
            found[group.effect] = now.x[group.columns].reshape(group.levels, d), variance
    return [found[k][0] for k in sorted(found)], [found[k][1] for k in sorted(found)]
