"""Streamed fits of a model, without the component around it."""

from proml_kedro.models.mixed.streamed.fit import divide, fit
from proml_kedro.models.mixed.streamed.problem import Measured


def fit_streamed(model, examples, covariance, threads, folder, **tolerances):
    """Fit, or go on in a folder where a fit of the same was killed."""
    return fit(Measured(model, divide(model, examples, folder)), covariance, threads, folder, **tolerances)
