"""The three losses: what the compiled passes do not need to know of them.

A loss is the negative log likelihood of a label y whose margin is eta:

    logistic   y is 0 or 1, one with probability 1 / (1 + exp(-eta))
    linear     y is normal with mean eta and variance phi, the dispersion, which is estimated
    poisson    y is a count with mean exp(eta)

The passes multiply it by ``scale`` and by the row's weight; the scale is 1 / phi for linear, 1 for the others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.spec import Loss

CODES: dict[Loss, int] = {"logistic": 0, "linear": 1, "poisson": 2}
"""Of the losses in :func:`.kernels.likelihood`."""

LARGEST = 700.0
"""Of a margin whose exponential is taken: what is finite in float64."""

_TURN = 4.0 / math.pi  # v / 2 is this times (1 / k^2 - 1)
LARGEST_SPREAD = 20.0  # of a Poisson margin's variance while fitting: a factor of 22,000 in the mean


def averaging(loss: Loss, variance: Array) -> npt.NDArray[np.float64]:
    """How the mean of the likelihood over a normal posterior differs from its value at the posterior's mean.

    Args:
        loss: The loss.
        variance: Of each margin, shape (n,).

    Returns:
        The factor k of :func:`.kernels.likelihood`, shape (n,): for logistic 1 / sqrt(1 + pi v / 8), see
        :func:`averaged_margin`; for Poisson exp(v / 2), of the mean, which is exact; for linear 1.
    """
    if loss == "logistic":
        return np.asarray(1.0 / np.sqrt(1.0 + math.pi / 8.0 * variance))
    if loss == "poisson":
        return np.asarray(np.exp(np.minimum(variance, LARGEST_SPREAD) / 2))
    return np.ones(len(variance))


def averaged_margin(margin: Any, k: Any) -> tuple[Any, Any]:
    """The log-odds of the mean of sigma(x) over x ~ Normal(m, v), and their derivative in m.

    Near zero they are k m (MacKay, 1992); but where events are rare sigma is an exponential, whose mean makes them
    m + v / 2 for negative m. The two meet at |m| = m* = v / (2 (1 - k)), about which the derivative goes from k to 1
    in a straight line, from m* / 2 to 3 m* / 2. With this the mean is right to 2.5 % for v up to 1 and to 11 % up to 4,
    where k m alone says 0.0011 of 0.00055 (m = -8, v = 1).

    Args:
        margin: m.
        k: 1 / sqrt(1 + pi v / 8).
    """
    size, wide = np.abs(margin), 1.0 / k
    beyond = size * k * k / (_TURN * (1.0 + k)) - 0.5  # |m| / m* - 1 / 2
    part = np.minimum(np.maximum(beyond, 0.0), 1.0)
    added = _TURN * (wide * wide - 1.0) * (0.5 * part * part + np.maximum(beyond - 1.0, 0.0))
    return np.copysign(k * size + added, margin), k + (1.0 - k) * part


def third_derivative(loss: Loss, eta: Array, weight: Array) -> npt.NDArray[np.float64]:
    """Of the negative log likelihood in the margin, from the second one; shape (n,).

    Args:
        loss: The loss.
        eta: Margins, shape (n,).
        weight: The second derivative at the margins, shape (n,).
    """
    if loss == "logistic":
        return np.asarray(-weight * np.tanh(eta / 2))  # w (1 - 2 p)
    return np.asarray(weight if loss == "poisson" else np.zeros(len(eta)))


def first_intercept(loss: Loss, label: Array, offset: Array, weight: Array) -> float:
    """The intercept of a model that has nothing else; finite also when all labels are equal."""
    label, offset, weight = (one.astype(np.float64) for one in (label, offset, weight))
    rows, total = float(weight.sum()), float(weight @ label)
    if rows <= 0:
        return 0.0
    if loss == "logistic":
        return math.log((total + 0.5) / (rows - total + 0.5)) - float(weight @ offset) / rows
    if loss == "linear":
        return (total - float(weight @ offset)) / rows
    shift = float(offset.max())  # the exponential of an offset may be too large, of a difference of them it is not
    return math.log(total + 0.5) - shift - math.log(float(weight @ np.exp(offset - shift)))


def constant(loss: Loss, label: Array, weight: Array, dispersion: float) -> float:
    """What :func:`.kernels.likelihood` leaves out of the summed negative log likelihood, as margins don't touch it."""
    label, weight = label.astype(np.float64), weight.astype(np.float64)
    if loss == "linear":
        return float(weight.sum()) * math.log(2 * math.pi * dispersion) / 2
    if loss == "poisson":
        from scipy.special import gammaln

        return float(weight @ gammaln(label + 1))
    return 0.0


def predict(loss: Loss, eta: Array, variance: Array, dispersion: float) -> dict[str, npt.NDArray[np.float64]]:
    """What is said of rows, averaged over the posterior of the effects.

    Args:
        loss: The loss.
        eta: Margin at the posterior mean, shape (n,).
        variance: Of the margin, shape (n,).
        dispersion: Variance of a label around its mean, for linear.

    Returns:
        ``margin``, whose inverse link is the mean; and, unless the label is binary, ``mean`` and ``variance`` of the
        label, the effects' uncertainty included.
    """
    if loss == "logistic":
        return {"margin": averaged_margin(eta, averaging(loss, variance))[0]}
    if loss == "linear":
        return {"margin": eta, "mean": eta, "variance": variance + dispersion}
    margin = np.clip(eta + variance / 2, -LARGEST, LARGEST / 3)  # a third: the variance is a product of three such
    mean = np.exp(margin)
    spread = np.expm1(np.minimum(variance, LARGEST / 3))
    return {"margin": margin, "mean": mean, "variance": mean * (1 + mean * spread)}
