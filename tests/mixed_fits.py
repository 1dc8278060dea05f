"""Fits of mixed models to columns, for tests of several folders."""

import numpy as np

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec

TASKS = {"logistic": "binary", "linear": "regression", "poisson": "count"}


def fitted(columns, label, loss="linear", **config):
    """Fit by maximum likelihood, unless the configuration says otherwise; columns of objects are text."""
    inputs = tuple(Input(name, "str" if values.dtype == object else "float") for name, values in columns.items())
    config = {"kind": "mixed", "inputs": [one.name for one in inputs], "penalty": 0.0, "method": "laplace", **config}
    component = Mixed(MixedSpec.model_validate(config), inputs)
    examples = Examples(columns, label.astype(np.float32))
    component.fit(examples, examples.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), 0, "m", True, TASKS[loss]))
    return component
