"""Settings of a fit in memory."""

from __future__ import annotations

from dataclasses import dataclass

from proml_kedro.models.mixed.spec import Loss, Method


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit.

    Attributes:
        loss: Loss that is minimised. For ``linear``, labels have a standard deviation of about 1.
        method: How the random effects are integrated out; see :class:`~proml_kedro.models.mixed.spec.MixedSpec`.
        penalty: Precision of the fixed effects' prior.
        l1: Rate of the fixed effects' Laplace prior.
        tolerance: Converged when no fixed effect changes more, nor do random ones in root mean square.
        covariance_tolerance: Converged when no covariance, nor the dispersion, changes more, relatively.
        interaction_tolerance: Converged when no interaction changes more in root mean square over rows.
        max_iterations: Largest number of Newton steps.
        points: Nodes of adaptive Gauss-Hermite quadrature, 1 for none.
        estimate_dispersion: Whether the dispersion of the linear loss is estimated, or keeps its initial value.
    """

    loss: Loss = "logistic"
    method: Method = "variational"
    penalty: float = 1.0
    l1: float = 0.0
    tolerance: float = 1e-3
    covariance_tolerance: float = 5e-3
    interaction_tolerance: float = 3e-3
    max_iterations: int = 50
    points: int = 1
    estimate_dispersion: bool = True
