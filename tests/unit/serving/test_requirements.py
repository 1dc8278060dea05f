"""What goes into a Bento is found by reading the source."""

import sys
from importlib.metadata import version

import pytest

from proml_kedro.bundle import Manifest
from proml_kedro.serving.requirements import needed_modules, own_sources, pins
from small import make_bundle, make_config


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return Manifest.read(make_bundle(tmp_path_factory.mktemp("requirements")))


def _with(manifest, **config):
    return manifest.model_copy(update={"config": {**manifest.config, **config}})


def test_a_model_brings_its_own_library_and_no_other(manifest):
    found = needed_modules(manifest)
    assert {"bentoml", "xgboost", "numpy", "pyarrow", "yaml", "proml_kedro.models.graph.graph"} <= found
    assert found.isdisjoint({"kedro", "hydra", "omegaconf", "evidently", "sklearn", "matplotlib"})
    linear = make_config({"linear": {"kind": "logistic", "inputs": ["*"]}})
    assert "sklearn" in needed_modules(_with(manifest, model=linear["model"]))


def test_looking_features_up_needs_neither_feast_nor_duckdb(manifest):
    assert not {"feast", "duckdb", "pandas"} & needed_modules(manifest)
    assert "proml_kedro.features.online.sqlite" in needed_modules(manifest)
    rows = manifest.rows
    brought = [one for one in rows.inputs if one.request]
    alone = manifest.model_copy(update={"rows": rows.model_copy(update={"inputs": brought})})
    assert "feast" not in needed_modules(alone)
    assert not any(name.startswith("proml_kedro.features.") for name in needed_modules(alone))


def test_pins_are_of_distributions():
    assert pins({"yaml", "json", "proml_kedro.bundle", "numpy.linalg"}) == [
        f"numpy=={version('numpy')}",
        f"PyYAML=={version('PyYAML')}",
    ]


def test_an_extension_of_the_project_is_copied_and_followed(manifest, tmp_path, monkeypatch):
    (tmp_path / "my_extension.py").write_text(
        "from typing import TYPE_CHECKING\nimport rich\nif TYPE_CHECKING:\n    import hydra\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_extension", raising=False)
    found = needed_modules(_with(manifest, extensions=["my_extension"]))
    assert {"my_extension", "rich"} <= found
    assert "hydra" not in found
    assert own_sources(found)["my_extension.py"] == tmp_path / "my_extension.py"


def test_an_aggregate_and_a_split_of_ones_own_are_imported_first_and_followed(manifest, tmp_path, monkeypatch):
    """The manifest declares them, and nothing else of a service names their module."""
    (tmp_path / "my_ways.py").write_text(
        "from typing import Literal\n"
        "from proml_kedro.extensions import aggregates, splits\n"
        "from proml_kedro.features.views.aggregates import Aggregate\n"
        "from proml_kedro.spec.split import SplitSpec\n"
        "@aggregates.register('my_way')\n"
        "class MyWay(Aggregate):\n    agg: Literal['my_way']\n"
        "    def partials(self, slot): return {'x': f'sum({slot.value})'}\n"
        "    def final(self, slot, frame): return f'sum({slot.column(\"x\")}) OVER {frame}'\n"
        "    def of_events(self, events, moment): return sum(events)\n"
        "@splits.register('my_half')\n"
        "class MyHalf(SplitSpec):\n    by: Literal['my_half']\n    def sql(self, timestamp): return \"'train'\"\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_ways", raising=False)
    view = {
        "key": "shop",
        "source": {"table": "t", "event_time": "at"},
        "features": {"x": {"agg": "my_way", "expression": "y", "windows": ["1h"]}},
    }
    declared = _with(
        manifest,
        extensions=["my_ways"],
        features={**manifest.config["features"], "own": view},
        problem={**manifest.config["problem"], "split": {"by": "my_half"}},
    )
    assert type(declared.features.views["own"].features["x"]).__module__ == "my_ways"
    assert type(declared.problem.split).__module__ == "my_ways"
    assert "my_ways" in needed_modules(declared)
