"""How to fit a mixed model, and what fitting finds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.interactions import Interaction
from proml_kedro.models.mixed.memory.passes import Floats
from proml_kedro.models.mixed.spec import Loss, Method


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        loss: What is minimised. For ``linear``, labels have a standard deviation of about 1.
        method: How the effects are integrated out: see :class:`.spec.MixedSpec`.
        penalty: Precision of the fixed effects' prior.
        l1: Times their absolute values is added to the loss.
        tolerance: Largest change of a fixed effect, and root mean square change of random ones, to stop at.
        covariance_tolerance: Largest relative change of a covariance, or of the dispersion, to stop at.
        interaction_tolerance: Root mean square change of an interaction over rows to stop at.
        max_iterations: Of Newton steps.
        estimate_dispersion: Whether the linear loss has its dispersion estimated, or keeps the one it starts with.
    """

    loss: Loss = "logistic"
    method: Method = "variational"
    penalty: float = 1.0
    l1: float = 0.0
    tolerance: float = 1e-3
    covariance_tolerance: float = 5e-3
    interaction_tolerance: float = 3e-3
    max_iterations: int = 50
    estimate_dispersion: bool = True


@dataclass
class Fit:
    """What was found.

    Attributes:
        fixed: Coefficients of the fixed numbers, shape (p,).
        fixed_errors: Their standard errors, 0 for those that are held at zero.
        categories: Of each categorical fixed effect, shape (levels,).
        category_errors: Their standard errors.
        effects: Posterior means of each random effect, shape (levels, d).
        uncertainties: Posterior covariances of each random effect, shape (levels, d, d).
        covariances: The covariance of each random effect, shape (d, d).
        dispersion: Variance of a label around its mean, for the linear loss; else 1.
        iterations: Newton steps taken.
        passes: Passes over the rows, all together.
        rows: How many rows there were, by weight.
        converged: Whether tolerances were reached.
        log_likelihood: Of the labels whatever the random effects, see :mod:`.evidence`.
        interactions: Those of low rank.
        history: One entry a step: loss with priors, step size, relative change of the covariances.
    """

    fixed: Floats
    fixed_errors: Floats
    categories: list[Floats]
    category_errors: list[Floats]
    effects: list[Floats]
    uncertainties: list[Floats]
    covariances: list[Array]
    dispersion: float = 1.0
    iterations: int = 0
    passes: int = 0
    rows: float = 0.0
    converged: bool = False
    log_likelihood: float = math.nan
    interactions: tuple[Interaction, ...] = ()
    history: list[dict[str, Any]] = field(default_factory=list)
