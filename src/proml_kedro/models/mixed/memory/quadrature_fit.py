"""Maximum of the marginal likelihood by adaptive Gauss-Hermite quadrature (``nagq``), from a fit that is near it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from proml_kedro.errors import UserError
from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import CEILING, FLOOR
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.fit import fixed_precision
from proml_kedro.models.mixed.memory.fit_result import InMemoryFit
from proml_kedro.models.mixed.memory.passes import Floats
from proml_kedro.models.mixed.memory.quadrature import MarginalLikelihood, Quadrature
from proml_kedro.models.mixed.memory.settings import FitSettings

MOST = 2 * 10**9
"""Largest product of rows, nodes and columns: a step takes some seconds."""

MOST_OF_ONE = 2 * 10**7
"""Largest product of the nodes and of the rows of one entity, which are held in memory together."""

_TOLERANCE = 1e-7  # expected gain of the log likelihood at which steps end
_UNNOTICED = 1e-4  # the same where no step gains anything: nodes move with what is estimated
_SHORTEST = 1e-10  # share of a step at which halving ends
_LEAST, _LARGEST = FLOOR**0.5, CEILING**0.5


def check_size(design: Design, points: int, key: str) -> None:
    """Check that the likelihood can be evaluated in time and memory.

    Args:
        design: The data.
        points: Number of nodes.
        key: Key of the component, for the error.

    Raises:
        UserError: There are too many rows, nodes and columns.
    """
    products, largest = len(design) * points * (design.width + 1), int(np.diff(design.starts).max()) * points
    for size, most, what in (
        (products, MOST, f"{len(design):,} rows and {design.width + 1:,} coefficients"),
        (largest, MOST_OF_ONE, f"the {largest // points:,} rows of one entity"),
    ):
        if size > most:
            message = (
                f"{points} points for {what} are {size:.0e} products, more than {most:.0e}; take fewer points, or "
                "leave it out: Laplace's approximation is near where entities have many rows"
            )
            raise UserError.at(f"{key}.nagq", message)


def maximise_quadrature(
    design: Design, first: InMemoryFit, settings: FitSettings, estimates_deviation: bool
) -> InMemoryFit:
    """Maximise the penalised marginal likelihood in the fixed coefficients and the deviation by Newton's method.

    Standard errors are those of the joint information of both, which is what lme4's ``vcov`` gives by default.

    Args:
        design: The data, with one random effect of one column.
        first: A fit to start from.
        settings: Settings of the fit.
        estimates_deviation: Whether the deviation is estimated, or is what the first fit has.
    """
    quadrature, prior = Quadrature(design, settings.loss, settings.points), fixed_precision(design, settings)
    start = np.concatenate([first.fixed, *first.categories, [float(first.covariances[0][0, 0]) ** 0.5]])
    search = _Search(quadrature, prior, estimates_deviation, start)
    history, converged = list(first.history), False
    for _ in range(settings.max_iterations):
        before, gain = search.place, search.step()
        moved = np.abs(search.place - before)
        change = float(2 * moved[-1] / max(before[-1], _LEAST))
        history.append(
            {"step": float(moved[:-1].max(initial=0.0)), "change": change, "products": 0, "interaction": 0.0}
        )
        if converged := gain < _TOLERANCE or (gain < _UNNOTICED and not moved.any()):
            break
    return _result(design, first, search, replace(first, history=history, converged=converged))


class _Search:
    """Newton's method with halved steps, in which the deviation stays within its bounds."""

    def __init__(self, quadrature: Quadrature, prior: Array, estimates: bool, start: Floats) -> None:
        self._quadrature, self._estimates = quadrature, estimates
        self._prior = np.append(prior, 0.0)
        self.place = start
        self.place[-1] = np.clip(start[-1], _LEAST, _LARGEST)
        self.found = self._at(self.place)

    def step(self) -> float:
        """Take one step; return the gain that a quadratic likelihood would have had."""
        gradient = self.found.gradient - self._prior * self.place
        free = np.ones(len(gradient), np.bool_)
        free[-1] = not self.is_held(gradient[-1])
        values, vectors = np.linalg.eigh(self.information()[np.ix_(free, free)])
        # Far from the maximum the likelihood may curve upwards; there the step goes the same way as the gradient.
        direction = np.zeros_like(gradient)
        sizes = np.maximum(np.abs(values), 1e-12 * np.abs(values).max())
        direction[free] = vectors @ ((vectors.T @ gradient[free]) / sizes)
        gain = float(gradient @ direction) / 2
        length, value = 1.0, self._objective(self.found, self.place)
        while length > _SHORTEST:
            place = self.place + length * direction
            place[-1] = np.clip(abs(place[-1]), _LEAST, _LARGEST) if free[-1] else self.place[-1]
            found = self._at(place)
            if self._objective(found, place) >= value - 1e-9 * abs(value) * (gain < _TOLERANCE):
                self.place, self.found = place, found
                break
            length /= 2
        return gain

    def is_held(self, slope: float) -> bool:
        """Tell whether the deviation is given, or at a bound beyond which the likelihood would grow."""
        low, high = self.place[-1] <= _LEAST and slope <= 0, self.place[-1] >= _LARGEST and slope >= 0
        return bool(not self._estimates or low or high)

    def information(self) -> Floats:
        """Curvature of the objective, shape (p + 1, p + 1)."""
        return self.found.information + np.diag(self._prior)

    def covariance(self) -> Floats:
        """Compute the covariance of the fixed coefficients, that of the deviation taken in; shape (p, p)."""
        p = len(self.place) - 1
        information = self.information()
        if self.is_held(self.found.gradient[-1]):
            return np.asarray(np.linalg.pinv(information[:p, :p], hermitian=True))
        return np.asarray(np.linalg.pinv(information, hermitian=True)[:p, :p])

    def _at(self, place: Floats) -> MarginalLikelihood:
        return self._quadrature.at(place[:-1], float(place[-1]))

    def _objective(self, found: MarginalLikelihood, place: Floats) -> float:
        return found.value - float(self._prior @ place**2) / 2


def _result(design: Design, first: InMemoryFit, search: _Search, fit: InMemoryFit) -> InMemoryFit:
    """Arrange what was found as a fit: effects are posterior means, and need no shift."""
    found, beta, sigma = search.found, search.place[:-1], float(search.place[-1])
    fixed = search.covariance()
    errors = np.sqrt(np.maximum(np.diag(fixed), 0.0))
    own = (sigma**2 * found.variances)[:, None, None]
    of_fixed = sigma**2 * np.einsum("ep,pq,eq->e", found.slopes, fixed, found.slopes)[:, None, None]
    categories = [group.columns for group in design.groups if group.effect is None]
    return replace(
        fit,
        fixed=beta[: design.fixed],
        fixed_errors=errors[: design.fixed],
        categories=[beta[columns] for columns in categories],
        category_errors=[errors[columns] for columns in categories],
        effects=[(sigma * found.means)[:, None]],
        uncertainties=[own + of_fixed],
        averaged=[own],
        shifts=[],
        covariances=[np.array([[sigma**2]])],
        fixed_covariance=fixed,
        iterations=len(fit.history),
        passes=first.passes,
        log_likelihood=found.value,
    )
