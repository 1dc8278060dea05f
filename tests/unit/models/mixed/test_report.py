"""What the evaluation's report shows of random effects."""

import re

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec

INPUTS = (Input("member", "str"), Input("job.pay", "float"))
EFFECTS = [{"entity": "member", "features": ["intercept", "job.pay"]}]


def fitted(names, **config):
    generator = np.random.default_rng(0)
    columns = {"member": names, "job.pay": generator.normal(size=len(names)).astype(np.float32)}
    examples = Examples(columns, generator.integers(0, 2, len(names)).astype(np.float32))
    spec = {"kind": "mixed", "inputs": ["member", "job.pay"], "random_effects": EFFECTS, **config}
    component = Mixed(MixedSpec.model_validate(spec), INPUTS)
    component.fit(examples, examples.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), 0))
    return component


def test_every_effect_has_its_plots_and_the_report_shows_them(tmp_path):
    names = np.array([f"member/{one % 40} <b>" for one in range(500)], object)
    lines = fitted(names).report(tmp_path, "personal")
    shown = re.findall(r"!\[.*\]\((.*)\)", "\n".join(lines))
    kinds = ("distribution", "shrinkage", "farthest")
    wanted = [f"effects_personal_0_{feature}_{kind}.png" for feature in ("intercept", "job_pay") for kind in kinds]
    assert shown == wanted
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(wanted)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir())
    text = "\n".join(lines)
    assert "| member | intercept | 40 |" in text
    assert re.search(r"\| intercept \| [+-]0\.\d+ \| 0\.\d+ \|", text)


def test_of_many_levels_the_report_shows_some(tmp_path):
    names = np.array([f"m{one % 40}" for one in range(500)], object)
    assert "| 11 more | | |" in "\n".join(fitted(names, fixed=["member"]).report(tmp_path, "personal"))


@pytest.mark.parametrize("names", [np.full(300, None, object), np.full(300, "one", object)], ids=["none", "one"])
@pytest.mark.filterwarnings("error")
def test_one_entity_or_none_can_be_drawn(names, tmp_path):
    lines = fitted(names).report(tmp_path, "personal")
    assert lines[0] == "\n## Effects of personal\n"
