"""Compiles the kernels of fits in memory, and keeps them for all processes: no first fit waits for that.

`make` does so when it makes the environment; elsewhere ``python -m proml_kedro.models.mixed.prepare`` does. Each kernel
serves any number of effects and columns. Those of streamed fits are made for a size each, at the first such fit:
whoever has millions of rows does not notice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import Task

_INPUTS = (Input("number", "float"), Input("region", "str"), Input("item", "str"))
_CROSSED = ({"entity": "region", "features": ["intercept", "number"]}, {"entity": "item"})
_FITS: tuple[tuple[Task, Mapping[str, Any]], ...] = (
    ("binary", {"random_effects": _CROSSED[1:]}),
    ("binary", {"fixed": ["number", "item"], "random_effects": _CROSSED, "method": "laplace"}),
    ("binary", {"random_effects": (*_CROSSED, {"kind": "factors", "entity": ["region", "item"], "rank": 2})}),
    ("count", {"fixed": ["number"], "random_effects": _CROSSED, "method": "pql"}),
    ("regression", {"fixed": ["number"], "random_effects": _CROSSED}),
)
"""Fits that come by every kernel."""


def compile_kernels() -> None:
    """Fit a few rows in each way that has kernels of its own."""
    generator = np.random.default_rng(0)
    number = generator.normal(size=300).astype(np.float32)
    names = [
        np.array(list(letters), dtype=object)[generator.integers(len(letters), size=300)]
        for letters in ("abcde", "wxyz")
    ]
    columns = dict(zip((one.name for one in _INPUTS), (number, *names), strict=True))
    label = (number + generator.normal(size=300) > 0).astype(np.float64)
    for task, config in _FITS:
        spec = MixedSpec.model_validate({"kind": "mixed", "inputs": list(columns), **config})
        component = Mixed(spec, _INPUTS)
        context = FitContext(HardwareSpec(threads=1), seed=0, task=task)
        component.fit(Examples(columns, label), Examples(columns, label), context)
        component.score(columns)


if __name__ == "__main__":
    logging.disable()  # what so few rows cannot tell
    compile_kernels()
