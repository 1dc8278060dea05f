# %% [markdown]
# # A component of your own, beside ours
#
# Which method wins is an experiment, not a belief. A component is one class in a module of yours: what its YAML may
# say, how it learns, how it scores, how it is saved. This one is an additive model by scikit-learn: each number is
# cut into parts of equally many rows, and each part has a weight.

# %%
from pathlib import Path

SOURCE = '''
import numpy as np
from pydantic import PositiveFloat, PositiveInt

from proml_kedro.extensions import components
from proml_kedro.models.component import Component
from proml_kedro.spec.model import ComponentSpec


class AdditiveSpec(ComponentSpec):
    """An additive model over parts of each number."""

    parts: PositiveInt = 12
    strength: PositiveFloat = 1.0


@components.register("additive")
class Additive(Component):
    Spec = AdditiveSpec

    def fit(self, train, validation, context):
        from sklearn.linear_model import LogisticRegression

        steps = np.linspace(0, 1, self.spec.parts + 1)[1:-1]
        self.edges = np.stack([np.nanquantile(train.columns[one.name], steps) for one in self.inputs])
        model = LogisticRegression(C=self.spec.strength, max_iter=500).fit(self._parts(train.columns), train.label)
        self.weights, self.intercept = model.coef_[0], model.intercept_[0]

    def _parts(self, columns):
        found = []
        for one, edges in zip(self.inputs, self.edges):
            values = columns[one.name]
            part = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
            found.append(np.eye(len(edges) + 2)[part])
        return np.hstack(found)

    def score(self, columns):
        margin = self._parts(columns) @ self.weights + self.intercept
        return {"margin": margin, "probability": 1 / (1 + np.exp(-margin))}

    def save(self, folder):
        np.savez(folder / "additive.npz", edges=self.edges, weights=self.weights, intercept=self.intercept)

    @classmethod
    def load(cls, spec, inputs, folder):
        component = cls(spec, inputs)
        with np.load(folder / "additive.npz") as kept:
            component.edges, component.weights, component.intercept = kept["edges"], kept["weights"], kept["intercept"]
        return component
'''
MODEL = """
components:
  parts: {kind: additive, inputs: ["impression.*", match.title_similarity, match.seniority_gap, "*.click_rate_all"]}
score: parts
"""
Path("../my_components.py").write_text(SOURCE)
Path("../conf/model/additive.yaml").write_text(MODEL)

# %% [markdown]
# ## Does it keep the laws?
#
# What every component has to hold: saved and loaded it scores the same, missing values are scored, equal fits are
# equal.

# %%
import os
import sys
import tempfile

sys.path.insert(0, "..")
os.environ["PYTHONPATH"] = str(Path("..").resolve())
import my_components  # noqa: F401 - it registers its component

from proml_kedro.testing import check_component

check_component({"kind": "additive", "inputs": ["shop.price", "shop.visits"]}, Path(tempfile.mkdtemp()))

# %% [markdown]
# ## Beside ours
#
# Both in one search: chosen by the validation part, and the best one judged once on the test period.

# %%
import proml_kedro

p = proml_kedro.open_project("..", "problem=job_recommendations", "experiment=notebooks", "extensions=[my_components]")
p.run("model=additive")

# %%
p.run("model=xgboost")

# %%
compared = p.compare("xgboost", "additive")
compared

# %%
# %load_ext proml_kedro
os.chdir("..")
# %proml sweep problem=job_recommendations experiment=notebooks extensions=[my_components] model=additive,xgboost
