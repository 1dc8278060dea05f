"""A package of a user's own, with a component and a producer, is used from YAML as what is shipped is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''
import json
from typing import ClassVar, Literal

import numpy as np
from pydantic import PositiveFloat

from proml_kedro.models.component import Component
from proml_kedro.models.producers import Producer
from proml_kedro.spec.model import ComponentSpec


class RateSpec(ComponentSpec):
    """The rate of each category of the first input.

    Attributes:
        smoothing: Rows of the mean rate that each category is given.
    """

    takes_weights = True

    smoothing: PositiveFloat = 10.0


class Rate(Component):
    """Learns rates."""

    Spec = RateSpec

    def fit(self, train, validation, context):
        values, label = train.columns[self.inputs[0].name], train.label
        weight = np.ones(len(label)) if train.weight is None else train.weight
        self.mean = float(np.average(label, weights=weight))
        self.rates = {}
        for category in {one for one in values.tolist() if one is not None}:
            rows, much = values == category, self.spec.smoothing
            seen = weight[rows].sum()
            self.rates[category] = float(((label * weight)[rows].sum() + much * self.mean) / (seen + much))

    def score(self, columns):
        rate = np.array([self.rates.get(one, self.mean) for one in columns[self.inputs[0].name].tolist()])
        return {"margin": np.log(rate / (1 - rate)), "probability": rate}

    def save(self, folder):
        (folder / "rates.json").write_text(json.dumps([self.mean, self.rates]))

    @classmethod
    def load(cls, spec, inputs, folder):
        component = cls(spec, inputs)
        component.mean, component.rates = json.loads((folder / "rates.json").read_text())
        return component


class Joined(Producer):
    """Two categories as one."""

    takes_numbers: ClassVar[bool] = False
    takes_categories: ClassVar[bool] = True
    count: ClassVar[int | None] = 2
    gives: ClassVar[str] = "str"

    kind: Literal["joined"]
    between: str = "-"

    def compute(self, values):
        pairs = zip(*(one.tolist() for one in values), strict=True)
        return np.array([None if None in pair else self.between.join(pair) for pair in pairs] + [None], object)[:-1]
'''
MODEL = """
name: own
components:
  where: {kind: joined, of: [shop.city, shop.country], between: /}
  rate: {kind: rate, inputs: [where], smoothing: 5}
score: rate
"""
SCRIPT = """
import sys
from pathlib import Path

import numpy as np
import yaml

from proml_kedro.models.component import Examples, FitContext
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec import HardwareSpec, ModelSpec
from proml_kedro.testing import check_component, check_producer

folder = Path(sys.argv[1])
spec = ModelSpec.model_validate(yaml.safe_load((folder / "model.yaml").read_text()))
assert "numpy" in sys.modules and "my_package.kinds" in sys.modules
graph = ModelGraph(spec, {"shop.city": "str", "shop.country": "str"})
generator = np.random.default_rng(0)
columns = {name: generator.choice(np.array(["a", "b"], object), 500) for name in ("shop.city", "shop.country")}
label = (columns["shop.city"] == columns["shop.country"]).astype(np.float32)
graph.fit(Examples(columns, label), Examples(columns, label), FitContext(HardwareSpec(threads=1), seed=0))
assert set(graph.components["rate"].rates) == {"a/a", "a/b", "b/a", "b/b"}
graph.save(folder / "saved")
loaded = ModelGraph.load(spec, {"shop.city": "str", "shop.country": "str"}, folder / "saved")
assert ((loaded.score(columns) > 0.5) == (label == 1)).all()
(folder / "laws").mkdir()
check_component({"kind": "rate", "inputs": ["shop.city"]}, folder / "laws")
(folder / "producer").mkdir()
check_producer({"kind": "joined"}, folder / "producer")
"""

REFERENCE = "import generate; print('\\n'.join(generate.configuration()))"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that a package is installed in, as a package manager would do it."""
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").write_text("")
    (site / "my_package" / "kinds.py").write_text(MODULE)
    about = site / "my_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[proml_kedro.components]\nrate = my_package.kinds:Rate\n"
        "[proml_kedro.producers]\njoined = my_package.kinds:Joined\n"
    )
    return site


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)


def test_its_component_and_its_producer_are_declared_fitted_and_proved(installed, tmp_path):
    (tmp_path / "model.yaml").write_text(MODEL)
    done = run(installed, "-c", SCRIPT, str(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_they_stand_in_the_reference_and_are_followed_when_a_model_is_packaged(installed):
    folder = Path(__file__).parents[2] / "docs/reference"
    done = run(installed, "-c", f"import sys; sys.path.append({str(folder)!r}); {REFERENCE}")
    assert "## kind: rate" in done.stdout
    assert "| `smoothing` | number | `10.0` | Rows of the mean rate that each category is given. |" in done.stdout
    assert "| `of` | list of: text | *required* |" in done.stdout.partition("## kind: joined")[2]
    script = "from proml_kedro.models.kinds import modules_of; print(modules_of('rate'), modules_of('joined'))"
    found = run(installed, "-c", script).stdout
    assert found == "['my_package.kinds'] ['my_package.kinds', 'proml_kedro.models.producers.component']\n"
