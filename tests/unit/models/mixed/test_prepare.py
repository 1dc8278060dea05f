"""What `make` compiles is what fits in memory need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIT = """
import sys
import numpy as np
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec.hardware import HardwareSpec

inputs = [Input("shop.visits", "int"), Input("shop.price", "float")]
inputs += [Input("shop.city", "str"), Input("shop.item", "str")]
generator = np.random.default_rng(1)
columns = {one.name: generator.integers(9, size=500).astype(np.float32) for one in inputs[:2]}
columns |= {one.name: generator.integers(20, size=500).astype(str).astype(object) for one in inputs[2:]}
effects = [{"entity": "shop.item"}, {"entity": "shop.city", "features": ["shop.visits"], "covariance": "diagonal"}]
effects += [{"kind": "factors", "entity": ["shop.item", "shop.city"], "rank": 3}]
for task in ("binary", "regression", "count"):
    for chosen in (effects[:1], effects[:2], effects):
        config = {"kind": "mixed", "inputs": list(columns), "fixed": ["shop.price"], "random_effects": chosen}
        component = Mixed(MixedSpec.model_validate(config), inputs)
        label = generator.integers(2, size=500).astype(np.float64)
        train = Examples(columns, label, weight=None if task == "count" else np.ones(500))
        component.fit(train, train, FitContext(HardwareSpec(threads=2), 0, task=task))
        component.score(columns)
"""


def compiled(cache: Path) -> set[str]:
    return {file.name for file in cache.rglob("*.nbc")}


@pytest.mark.slow
def test_fits_in_memory_compile_nothing_more(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for what in (("-m", "proml_kedro.models.mixed.prepare"), ("-c", FIT)):
        done = subprocess.run([sys.executable, *what], env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        if what[0] == "-m":
            assert (done.stdout, done.stderr) == ("", "")
            before = compiled(tmp_path)
            assert len(before) > 15
    assert compiled(tmp_path) == before
