"""Log likelihoods of fitted models, and what of them may be compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

BOUND = "variational bound"
"""Kind of a number that the log likelihood is never below: it says how good a fit is, and nothing of another fit."""


@dataclass(frozen=True)
class Likelihood:
    """Log likelihood of a fitted model, and all that must agree before it is compared with another one.

    Attributes:
        value: Logarithm of the likelihood.
        kind: ``restricted``, ``laplace``, ``quadrature of 25 points``, or :data:`BOUND`.
        maximised: Whether the estimates are where it has its maximum: not with a penalty, nor by another method.
        parameters: Number of fixed effects, variances, correlations and dispersions that are estimated.
        rows: Number of training rows.
        labels: Digest of labels, weights and offsets.
        fixed: Names of the fixed effects.
        random: Names of the coefficients of the random effects, and whether they are correlated.
    """

    value: float
    kind: str
    maximised: bool
    parameters: int
    rows: int
    labels: str
    fixed: list[str]
    random: list[str]

    @property
    def aic(self) -> float:
        """Akaike's information criterion: smaller is better."""
        return 2 * self.parameters - 2 * self.value

    @property
    def bic(self) -> float:
        """Bayesian information criterion with the number of rows: smaller is better."""
        return math.log(self.rows) * self.parameters - 2 * self.value


@dataclass(frozen=True)
class RatioTest:
    """Likelihood ratio test of a model in a larger one.

    Attributes:
        statistic: Twice the difference of the log likelihoods.
        degrees: Difference of the numbers of parameters.
        p_value: Probability of a larger one by the chi-squared distribution.
        conservative: Whether a variance is tested, whose true distribution has smaller values (Self and Liang, 1987).
    """

    statistic: float
    degrees: int
    p_value: float
    conservative: bool


def obstacles(one: Likelihood, other: Likelihood) -> Iterator[str]:
    """Say why two log likelihoods cannot be compared; nothing where they can."""
    if BOUND in (one.kind, other.kind):
        yield "one is a variational bound, which may be far below: fit both with `method: laplace`"
    elif one.kind != other.kind:
        yield f"one is {one.kind}, the other {other.kind}"
    if (one.rows, one.labels) != (other.rows, other.labels):
        yield "they are of other training rows, labels, weights or offsets"
    if not all(each.maximised or each.kind == BOUND for each in (one, other)):
        yield "one is not at its maximum: fit both with `method: laplace`, `penalty: 0` and until they converge"
    if one.kind == other.kind == "restricted" and one.fixed != other.fixed:
        yield "restricted ones depend on the fixed effects, which differ"


def ratio_test(one: Likelihood, other: Likelihood) -> RatioTest | None:
    """Test the smaller model in the larger one; None where neither holds the other."""
    small, large = sorted((one, other), key=lambda each: each.parameters)
    degrees = large.parameters - small.parameters
    if not degrees or not (set(small.fixed) <= set(large.fixed) and set(small.random) <= set(large.random)):
        return None
    from scipy.stats import chi2

    statistic = max(2 * (large.value - small.value), 0.0)
    p_value = float(chi2.sf(statistic, degrees))
    return RatioTest(statistic, degrees, p_value, small.random != large.random)
