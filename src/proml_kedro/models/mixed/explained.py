"""Shares of the variance of the margin: what the fixed effects explain, and what the entities have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns
from proml_kedro.models.mixed.fitted import FittedModel
from proml_kedro.models.mixed.score import fixed_contributions
from proml_kedro.models.mixed.terms import Terms

_ROWS_AT_ONCE = 100_000

_LOGISTIC_VARIANCE = math.pi**2 / 3


@dataclass(frozen=True)
class ExplainedVariance:
    """Variances on the scale of the margin (Nakagawa, Johnson & Schielzeth, 2017), in its squared unit.

    Attributes:
        fixed: Of the fixed effects and the offset, over the training rows.
        random: Of the random effects, averaged over the training rows (Johnson, 2014, for slopes).
        residual: Of a label around its margin: the dispersion, pi^2 / 3 of the logistic distribution, or for counts
            ``log(1 + 1 / mean)``, the log-normal approximation at the mean count.
    """

    fixed: float
    random: float
    residual: float

    @property
    def icc(self) -> float:
        """Share of the random effects in what the fixed effects leave: the intraclass correlation, adjusted."""
        return self.random / (self.random + self.residual)

    @property
    def r2_marginal(self) -> float:
        """Share that the fixed effects explain."""
        return self.fixed / (self.fixed + self.random + self.residual)

    @property
    def r2_conditional(self) -> float:
        """Share that fixed and random effects explain together."""
        return (self.fixed + self.random) / (self.fixed + self.random + self.residual)

    def as_facts(self) -> dict[str, float]:
        """Name the shares as summaries do."""
        shares = {"icc": self.icc, "r2 marginal": self.r2_marginal, "r2 conditional": self.r2_conditional}
        return {name: round(share, 4) for name, share in shares.items()}


def explained_variance(
    terms: Terms, model: FittedModel, columns: Columns, label: Array, weight: Array
) -> ExplainedVariance | None:
    """Divide the variance of the margin.

    Args:
        terms: Encodings.
        model: Coefficients and variances.
        columns: Training rows.
        label: Shape (n,).
        weight: Shape (n,), positive.

    Returns:
        The variances; None for counts over exposures, whose residual variance differs by row.
    """
    if terms.has_exposure:
        return None
    mean = square = random = 0.0
    total = float(weight.sum())
    for rows in _parts(row_count(columns)):
        part = {name: values[rows] for name, values in columns.items()}
        share = weight[rows] / total
        margin = sum((added for _, added in fixed_contributions(terms, model, part)), terms.offset(part))
        mean, square = mean + float(share @ margin), square + float(share @ margin**2)
        random += float(share @ _random_variance(terms, model, part))
    random += sum(float(one.spread().sum()) for one in model.factors)
    residual = {"logistic": _LOGISTIC_VARIANCE, "linear": model.dispersion}.get(model.loss)
    if residual is None:
        residual = math.log1p(1 / max(float(np.average(label, weights=weight)), 1e-300))
    return ExplainedVariance(max(square - mean**2, 0.0), random, residual)


def _random_variance(terms: Terms, model: FittedModel, columns: Columns) -> Array:
    """Add z'Sz over the random effects, S the covariance over entities; shape (n,)."""
    variance = np.zeros(row_count(columns))
    for spec, effect in zip(terms.effects, model.effects, strict=True):
        z = terms.slopes(columns, spec)
        variance += np.einsum("na,ab,nb->n", z, effect.population, z)
    return variance


def _parts(rows: int) -> Iterator[slice]:
    for first in range(0, rows, _ROWS_AT_ONCE):
        yield slice(first, min(first + _ROWS_AT_ONCE, rows))
