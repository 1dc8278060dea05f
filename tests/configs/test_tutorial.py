"""The YAML of the tutorial is the YAML that works, and its mistake is answered as it says."""

import re
from pathlib import Path

import pytest

from proml_kedro.config import HydraConfigLoader
from proml_kedro.errors import UserError

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "your-own-problem.md"


@pytest.fixture
def conf(tmp_path):
    """The tutorial's files, each named in the first line of its block."""
    for block in re.findall(r"```yaml\n(.*?)```", TUTORIAL.read_text(), re.DOTALL):
        file = tmp_path / re.match(r"# (conf/\S+\.yaml)", block)[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block)
    return tmp_path / "conf"


def test_it_composes_to_the_features_it_names(conf):
    run = HydraConfigLoader(conf).loaded.run
    named = re.search(r"becomes three features, (.*?)\.\s", TUTORIAL.read_text(), re.DOTALL)[1]
    assert list(run.features.columns()) == ["visit.pages", *re.findall(r"`(orders\.\w+)`", named)]
    assert run.problem.name == "shop"
    assert run.model.name == "xgboost"


def test_its_mistake_is_answered_as_it_says(conf):
    file = conf / "features" / "shop.yaml"
    file.write_text(file.read_text().replace("expression", "expresion"))
    with pytest.raises(UserError) as caught:
        _ = HydraConfigLoader(conf).loaded
    assert str(caught.value) == re.search(r"```\n(conf/features/.*)\n```", TUTORIAL.read_text())[1]
