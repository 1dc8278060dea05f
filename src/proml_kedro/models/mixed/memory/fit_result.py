"""Result of a fit in memory, before it is arranged by the terms of the model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.label_unit import LabelUnit
from proml_kedro.models.mixed.memory.interactions import Interaction
from proml_kedro.models.mixed.memory.passes import Floats


@dataclass
class InMemoryFit:
    """Result of a fit in memory.

    Attributes:
        fixed: Coefficients of the fixed numbers, shape (p,).
        fixed_errors: Standard errors, 0 for coefficients that are held at zero.
        categories: Coefficients of each categorical fixed effect, shape (levels,).
        category_errors: Standard errors of the same.
        effects: Posterior means of each random effect, shape (levels, d).
        uncertainties: Posterior covariances of each random effect, shape (levels, d, d).
        averaged: Posterior covariances by which the likelihood is averaged, of the same shapes.
        shifts: Difference between mean and mode of the posterior by first order, of the shapes of ``effects``; empty
            where the fit takes them as equal.
        covariances: Covariance of each random effect over entities, shape (d, d).
        fixed_covariance: Posterior covariance of the fixed effects, numbers first; see
            :func:`.newton.covariance_of_fixed`.
        by_chance: Relative standard error of the deviations where they rest on random right sides, else None.
        is_exact: Whether posterior covariances are those of all effects together, not of each given the others.
        dispersion: Variance of a label around its mean, with the linear loss; else 1.
        iterations: Number of Newton steps.
        passes: Number of passes over the rows.
        rows: Number of rows, by weight.
        converged: Whether all tolerances were reached.
        log_likelihood: Log marginal likelihood of the labels, see :mod:`.marginal_likelihood`.
        interactions: Interactions of low rank.
        history: One entry for each step: its size, relative change of the covariances, products, and change of the
            interactions.
    """

    fixed: Floats
    fixed_errors: Floats
    categories: list[Floats]
    category_errors: list[Floats]
    effects: list[Floats]
    uncertainties: list[Floats]
    averaged: list[Floats]
    shifts: list[Floats]
    covariances: list[Array]
    fixed_covariance: Floats
    by_chance: float | None = None
    is_exact: bool = True
    dispersion: float = 1.0
    iterations: int = 0
    passes: int = 0
    rows: float = 0.0
    converged: bool = False
    log_likelihood: float = math.nan
    interactions: tuple[Interaction, ...] = ()
    history: list[dict[str, Any]] = field(default_factory=list)

    def restored(self, unit: LabelUnit) -> InMemoryFit:
        """Convert a fit of labels in a unit to the labels themselves; the interactions are changed in place."""
        one, square = unit.deviation, unit.deviation**2
        fixed = self.fixed * one
        fixed[:1] += unit.mean
        free = self.rows - len(fixed) - sum(len(values) for values in self.categories)  # degrees of freedom by REML
        for interaction in self.interactions:
            interaction.rescale(one)
        return replace(
            self,
            fixed=fixed,
            fixed_errors=self.fixed_errors * one,
            categories=[values * one for values in self.categories],
            category_errors=[values * one for values in self.category_errors],
            effects=[values * one for values in self.effects],
            uncertainties=[values * square for values in self.uncertainties],
            averaged=[values * square for values in self.averaged],
            shifts=[values * one for values in self.shifts],
            fixed_covariance=self.fixed_covariance * square,
            covariances=[values * square for values in self.covariances],
            dispersion=self.dispersion * square,
            log_likelihood=self.log_likelihood - free * math.log(one),
        )
