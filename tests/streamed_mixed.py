"""Streamed fits of a problem, without the component around it."""

from proml_kedro.models.mixed.streamed.fit import divide, fit
from proml_kedro.models.mixed.streamed.problem import StandardisedProblem


def fit_streamed(problem, examples, covariance, threads, folder, **tolerances):
    """Fit, or go on in a folder where a fit of the same was killed."""
    return fit(
        StandardisedProblem(problem, divide(problem, examples, folder)), covariance, threads, folder, **tolerances
    )
