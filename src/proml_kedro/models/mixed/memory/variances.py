"""Updates between Newton steps: covariances of the random effects, and dispersion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory.checkpoint import FitState
from proml_kedro.models.mixed.memory.coefficients import Coefficients, Priors
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.inverse import trace_of_product
from proml_kedro.models.mixed.memory.laplace import SkewCorrection, second_moment
from proml_kedro.models.mixed.memory.newton import NewtonStep
from proml_kedro.models.mixed.memory.passes import Floats, Linearisation, Passes
from proml_kedro.models.mixed.memory.schur import diagonal_blocks
from proml_kedro.models.mixed.memory.settings import FitSettings

_NEAR = 0.1  # size of a step below which exact covariances are worth a further pass
_LEAST_DISPERSION = 1e-6  # where the model fits labels exactly; as a share of their variance


def update_variances(
    passes: Passes,
    state: FitState,
    at: Linearisation,
    step: NewtonStep,
    priors: Priors,
    covariances: Sequence[Covariance],
    settings: FitSettings,
) -> float:
    """Update every covariance, and the dispersion.

    Args:
        passes: Passes over the rows.
        state: Current coefficients and dispersion; the dispersion is updated.
        at: Likelihood around the coefficients before the step.
        step: The last step.
        priors: Priors of the last step.
        covariances: Covariance of each random effect; updated.
        settings: Settings of the fit.

    Returns:
        Largest relative change.
    """
    if step.skew is not None:
        return _update_by_laplace(passes.design, state.now, step, step.skew, covariances)
    near = settings.loss == "linear" or min((one["step"] for one in state.history), default=math.inf) < _NEAR
    effects, uncertainties = effects_of(passes, state.now, at, step, near)
    means = _means(step, uncertainties)
    change = 0.0
    if settings.loss == "linear" and settings.estimate_dispersion:
        free = _free_rows(passes.design, step, priors, [len(one) for one in effects], means)
        change = _update_dispersion(passes, state, free)
    changes = [one.update(u.T @ u / len(u), v) for one, u, v in zip(covariances, effects, means, strict=True)]
    return max(change, *changes)


def _update_by_laplace(
    design: Design, now: Coefficients, step: NewtonStep, skew: SkewCorrection, covariances: Sequence[Covariance]
) -> float:
    """Update every covariance given the fixed effects, as maximum likelihood does."""
    variances = step.variances.copy()
    for group in design.groups[: design.dense_groups]:
        if group.effect is not None:
            variances[group.columns, : group.dimension] = diagonal_blocks(skew.dense, group).reshape(
                -1, group.dimension
            )
    modes, uncertainties = by_effect(design, now, skew.covariance, variances)
    shifts, _ = by_effect(design, Coefficients(skew.u, skew.x), skew.covariance, variances)
    return max(
        one.update(second_moment(u, b), v)
        for one, u, b, v in zip(covariances, modes, shifts, _means(step, uncertainties), strict=True)
    )


def _means(step: NewtonStep, uncertainties: Sequence[Floats]) -> Sequence[Array]:
    """Average posterior covariances over levels, or take the estimate where they are approximate; shape (d, d) each."""
    return [one.mean(0) for one in uncertainties] if step.means is None else step.means.means


def _free_rows(
    design: Design, step: NewtonStep, priors: Priors, levels: Sequence[int], means: Sequence[Array]
) -> float:
    """Count the degrees of freedom of the residuals.

    They are the rows minus the coefficients that the data determine, which are
    trace(H^-1 A'WA) = coefficients - trace(H^-1 precision).
    """
    dense = {group.effect for group in design.groups[: design.dense_groups]} if step.means is None else {None}
    blocks = priors.dense_blocks(design)
    if step.means is not None:
        blocks = [(columns, block) for columns, block in blocks if columns.stop <= design.first_random]
    held = np.diag(step.dense) == 0  # a coefficient held at zero has no variance
    last = design.dense if step.means is None else min(design.first_random, design.dense)
    determined = np.count_nonzero(~held[:last]) - trace_of_product(step.dense, blocks)
    for group in design.groups[design.dense_groups :]:
        if group.effect is None:  # a category with too many levels for the dense part: taken as independent
            determined += np.count_nonzero(step.variances[group.columns, 0])
    for k, (count, mean) in enumerate(zip(levels, means, strict=True)):
        if k not in dense:
            determined += count * (len(mean) - float(np.einsum("ab,ba->", priors.precisions[k], mean)))
    return max(float(design.weight.sum()) - determined, 1e-3)


def _update_dispersion(passes: Passes, state: FitState, free: float) -> float:
    """Set the dispersion to the residual sum of squares per degree of freedom (REML); return its relative change."""
    last = passes.loss_at(state.now.u, state.now.x)
    new = max(2.0 * last / passes.scale / free, _LEAST_DISPERSION)
    change = abs(new - state.dispersion) / state.dispersion
    state.dispersion = new
    return change


def effects_of(
    passes: Passes, now: Coefficients, at: Linearisation, step: NewtonStep, exact: bool = True
) -> tuple[list[Floats], list[Floats]]:
    """Compute posterior means and covariances of the random effects.

    Args:
        passes: Passes over the rows.
        now: Current coefficients.
        at: Likelihood around the coefficients before the step.
        step: The last step.
        exact: Whether covariances of the eliminated effect include the uncertainty of the dense columns, which costs a
            pass.
    """
    own = passes.add_uncertainty_of_rest(at, step.inverse, step.dense) if exact else step.inverse
    return by_effect(passes.design, now, own, step.variances)


def by_effect(design: Design, now: Coefficients, own: Floats, variances: Floats) -> tuple[list[Floats], list[Floats]]:
    """Arrange coefficients and covariances by random effect.

    Args:
        design: Columns of the effects.
        now: Coefficients.
        own: Covariances of the eliminated effect, shape (entities + 1, d, d).
        variances: Covariances of the others, as in :class:`.newton.NewtonStep`.

    Returns:
        Coefficients of each effect, shape (levels, d), and covariances, shape (levels, d, d).
    """
    found = {design.eliminated: (now.u[: design.entities], own[: design.entities])}
    for group in design.groups:
        if group.effect is not None:
            d = group.dimension
            variance = variances[group.columns, :d].reshape(group.levels, d, d)
            found[group.effect] = now.x[group.columns].reshape(group.levels, d), variance
    return [found[k][0] for k in sorted(found)], [found[k][1] for k in sorted(found)]
