"""The three losses, beyond the derivatives that the compiled passes need.

A loss is the negative log likelihood of a label y whose margin is eta:

    logistic   y is 0 or 1, and 1 with probability 1 / (1 + exp(-eta))
    linear     y is normal with mean eta and variance phi, the dispersion, which is estimated
    poisson    y is a count with mean exp(eta)

The passes multiply it by the row's weight and by ``scale``, which is 1 / phi for linear and 1 for the others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.spec import Loss

CODES: dict[Loss, int] = {"logistic": 0, "linear": 1, "poisson": 2}
"""Numbers of the losses in the compiled passes."""

LARGEST = 700.0
"""Largest margin whose exponential is finite in float64, with a little room."""

_TURN = 4.0 / math.pi  # v / 2 is this times (1 / k^2 - 1)
LARGEST_SPREAD = 20.0
"""Largest variance of a Poisson margin during a fit: a factor of 22,000 in the mean."""


def averaging(loss: Loss, variance: Array) -> npt.NDArray[np.float64]:
    """Compute the factor by which averaging over a normal posterior changes the likelihood.

    Args:
        loss: The loss.
        variance: Posterior variance v of each margin, shape (n,).

    Returns:
        Factor k, shape (n,). Logistic: 1 / sqrt(1 + pi v / 8), see :func:`averaged_margin`. Poisson: exp(v / 2),
        which multiplies the mean and is exact. Linear: 1.
    """
    if loss == "logistic":
        return np.asarray(1.0 / np.sqrt(1.0 + math.pi / 8.0 * variance))
    if loss == "poisson":
        return np.asarray(np.exp(np.minimum(variance, LARGEST_SPREAD) / 2))
    return np.ones(len(variance))


def averaged_margin(margin: Any, k: Any) -> tuple[Any, Any]:
    """Approximate the log-odds of the mean of sigma(x) over x ~ Normal(m, v), and their derivative in m.

    Near m = 0 the log-odds are k m (MacKay, 1992). Where events are rare sigma is close to an exponential, so that
    they are m + v / 2 for negative m. The two lines meet at |m| = m* = v / (2 (1 - k)). Between m* / 2 and 3 m* / 2
    the derivative goes from k to 1 linearly. The relative error of the mean is at most 2.5 % for v up to 1, and 11 %
    for v up to 4. With k m alone it would be a factor of 2 at m = -8, v = 1.

    The compiled kernels of the streamed engine hold the same formula a second time (``lanes.derivatives``), because
    they compute in float32 and for a whole vector of entities; a test compares the two.

    Args:
        margin: m, a number or an array.
        k: 1 / sqrt(1 + pi v / 8), of the same shape.

    Returns:
        The log-odds and the derivative, of the same shape.
    """
    size, wide = np.abs(margin), 1.0 / k
    beyond = size * k * k / (_TURN * (1.0 + k)) - 0.5  # |m| / m* - 1 / 2
    part = np.minimum(np.maximum(beyond, 0.0), 1.0)
    added = _TURN * (wide * wide - 1.0) * (0.5 * part * part + np.maximum(beyond - 1.0, 0.0))
    return np.copysign(k * size + added, margin), k + (1.0 - k) * part


def third_derivative(loss: Loss, eta: Array, weight: Array) -> npt.NDArray[np.float64]:
    """Compute the third derivative of the negative log likelihood in the margin from the second; shape (n,).

    Args:
        loss: The loss.
        eta: Margins, shape (n,).
        weight: Second derivative at the margins, shape (n,).
    """
    if loss == "logistic":
        return np.asarray(-weight * np.tanh(eta / 2))  # w (1 - 2 p)
    return np.asarray(weight if loss == "poisson" else np.zeros(len(eta)))


def first_intercept(loss: Loss, label: Array, offset: Array, weight: Array) -> float:
    """Estimate the intercept of a model that has nothing else; finite also when all labels are equal."""
    label, offset, weight = (one.astype(np.float64) for one in (label, offset, weight))
    rows, total = float(weight.sum()), float(weight @ label)
    if rows <= 0:
        return 0.0
    if loss == "logistic":
        return math.log((total + 0.5) / (rows - total + 0.5)) - float(weight @ offset) / rows
    if loss == "linear":
        return (total - float(weight @ offset)) / rows
    shift = float(offset.max())  # the exponential of an offset may overflow, that of a difference of two does not
    return math.log(total + 0.5) - shift - math.log(float(weight @ np.exp(offset - shift)))


def constant(loss: Loss, label: Array, weight: Array, dispersion: float) -> float:
    """Compute the part of the summed negative log likelihood that does not depend on the margins.

    Args:
        loss: The loss.
        label: Shape (n,).
        weight: Shape (n,).
        dispersion: Variance phi of a label around its mean, with ``linear``.
    """
    label, weight = label.astype(np.float64), weight.astype(np.float64)
    if loss == "linear":
        return float(weight.sum()) * math.log(2 * math.pi * dispersion) / 2
    if loss == "poisson":
        from scipy.special import gammaln

        return float(weight @ gammaln(label + 1))
    return 0.0


def predict(loss: Loss, eta: Array, variance: Array, dispersion: float) -> dict[str, npt.NDArray[np.float64]]:
    """Predict labels, averaged over the posterior of the effects.

    Args:
        loss: The loss.
        eta: Margin at the posterior mean, shape (n,).
        variance: Posterior variance of the margin, shape (n,).
        dispersion: Variance of a label around its mean, with ``linear``.

    Returns:
        ``margin``, whose inverse link is the mean; unless the label is binary also ``mean`` and ``variance`` of the
        label, with the uncertainty of the effects; shape (n,) each.
    """
    if loss == "logistic":
        return {"margin": averaged_margin(eta, averaging(loss, variance))[0]}
    if loss == "linear":
        return {"margin": eta, "mean": eta, "variance": variance + dispersion}
    margin = np.clip(
        eta + variance / 2, -LARGEST, LARGEST / 3
    )  # a third: the variance is a product of three exponentials
    mean = np.exp(margin)
    spread = np.expm1(np.minimum(variance, LARGEST / 3))
    return {"margin": margin, "mean": mean, "variance": mean * (1 + mean * spread)}
