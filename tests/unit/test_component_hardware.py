"""The machine as components see it: what they say beside what the run says."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from proml_kedro import open_project
from proml_kedro.errors import UserError
from proml_kedro.hardware import xgboost_settings
from proml_kedro.models.component import FitContext
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec import HardwareSpec, ModelSpec, RunSpec
from proml_kedro.spec.run import check
from proml_kedro.testing import INPUTS, make_examples
from proml_kedro.workflow import recipes
from small import make_config

ROOT = Path(__file__).parents[2]
TREES = {"kind": "xgboost", "inputs": ["shop.*"], "num_boost_round": 3}
LINE = {"kind": "logistic", "inputs": ["shop.*"]}
EFFECTS = {"kind": "mixed", "inputs": ["shop.*"], "random_effects": [{"entity": "shop.city"}]}
NET = {
    "kind": "deep",
    "inputs": ["shop.*"],
    "graph": {"a": {"block": "linear", "of": "numbers"}},
    "head": {"of": "a"},
}


def seen(run, **component):
    spec = ModelSpec(name="m", components={"one": component}, score="one").components["one"]
    return spec.hardware_of(run)


@pytest.mark.parametrize(
    ("run", "component", "device"),
    [
        ("cpu", TREES, "cpu"),
        ("gpu", TREES, "gpu"),
        ("gpu", {**TREES, "hardware": {"device": "cpu"}}, "cpu"),
        ("cpu", {**NET, "hardware": {"device": "gpu"}}, "gpu"),
        ("multi_gpu", NET, "multi_gpu"),
        ("multi_gpu", TREES, "gpu"),
        ("multi_gpu", EFFECTS, "cpu"),
        ("gpu", LINE, "cpu"),
    ],
)
def test_each_component_has_its_own_device(run, component, device):
    found = seen(HardwareSpec(device=run, threads=3), **component)
    assert (found.device, found.threads) == (device, 3)


def test_trees_stay_on_the_processor_and_networks_go_to_the_gpu():
    run = HardwareSpec(device="gpu", threads=2)
    assert xgboost_settings(seen(run, **TREES))["device"] == "cuda"
    assert xgboost_settings(seen(run, **{**TREES, "hardware": {"device": "cpu", "threads": 1}})) == {
        "nthread": 1,
        "device": "cpu",
    }
    together = HardwareSpec(threads=2).joined([HardwareSpec(device="gpu", devices=2, threads=1), HardwareSpec()])
    assert (together.device, together.devices, together.threads, together.allow_cpu) == ("gpu", 2, 2, False)


def test_trees_take_their_threads():
    graph = ModelGraph(
        ModelSpec(name="m", components={"trees": {**TREES, "hardware": {"threads": 1}}}, score="trees"),
        {one.name: one.dtype for one in INPUTS},
    )
    graph.fit(make_examples(100), make_examples(50), FitContext(HardwareSpec(threads=2), seed=0))
    assert '"nthread":"1"' in graph.components["trees"]._booster.save_config().replace(" ", "")


@pytest.mark.parametrize(
    ("component", "hardware", "key", "message"),
    [
        (LINE, {"device": "gpu"}, ".device", "kind 'logistic' cannot be fitted on 'gpu'; write cpu"),
        (EFFECTS, {"device": "multi_gpu"}, ".device", "write cpu"),
        (TREES, {"device": "multi_gpu"}, ".device", "write cpu or gpu"),
        (TREES, {"mixed_precision": True}, ".mixed_precision", "'xgboost' does not use it; it knows allow_cpu, device"),
        (LINE, {"devices": 2}, ".devices", "'logistic' does not use it; it knows device, threads"),
        (TREES, {"threads": 9}, ".threads", "9 threads, and the run has 2; write fewer, or hardware.threads=9"),
        ({"kind": "ratio", "of": ["shop.price", "shop.visits"]}, {"threads": 1}, "", "it learns nothing"),
    ],
)
def test_what_would_not_be_honoured_is_refused(component, hardware, key, message):
    config = make_config({"line": {"kind": "logistic", "inputs": ["*"]}, "one": {**component, "hardware": hardware}})
    config["model"]["score"] = "line"
    config["hardware"] = {"threads": 2}
    found = {one.key: one.message for one in check(RunSpec.model_validate(config))}
    assert message in found[f"model.components.one.hardware{key}"]


def test_networks_share_their_threads():
    config = make_config({"a": {**NET, "inputs": ["*"]}, "b": {**NET, "inputs": ["*"], "hardware": {"threads": 1}}})
    config["hardware"] = {"threads": 2}
    (mistake,) = [one for one in check(RunSpec.model_validate(config)) if "threads" in one.key]
    assert mistake.key == "model.components.b.hardware.threads"
    assert "2 and 1 threads; TensorFlow has one number a process" in mistake.message


@pytest.mark.parametrize("component", ["trees", "network"])
def test_a_component_without_its_gpu_ends_the_run_before_it_begins(component, monkeypatch, tmp_path):
    monkeypatch.setattr("proml_kedro.hardware.count_gpus", lambda: 0)
    key = f"model.components.{component}.hardware"
    project = open_project(ROOT, "model=flight_stack", f"+{key}.device=gpu", f"data_dir={tmp_path}/data")
    with pytest.raises(UserError) as caught:
        project.run(results=("trained_model",))
    (mistake,) = caught.value.mistakes
    assert mistake.key == f"{key}.device"
    assert mistake.message.startswith("no GPU is found; write device: cpu, or go on without one")
    assert not list((tmp_path / "data").rglob("*.parquet"))


def test_threads_change_no_result_and_devices_do():
    def recipe(*overrides):
        return recipes.trained_model(open_project(ROOT, "model=flight_stack", *overrides).spec).configuration

    key = "+model.components.trees.hardware"
    assert recipe(f"{key}.threads=1") == recipe(f"{key}.allow_cpu=true")
    assert recipe(f"{key}.threads=1") != recipe(f"{key}.device=cpu")


def test_the_benchmark_says_that_there_is_no_gpu(monkeypatch, capsys):
    gpu = _benchmark()
    monkeypatch.setattr(gpu, "count_gpus", lambda: 0)
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err == "no GPU is found; this benchmark compares one with the processor\n"


def test_the_benchmark_finds_a_model_that_was_elsewhere_or_is_another():
    on = {"cpu": {"auc": 0.74, "device": "CPU:0"}, "gpu": {"auc": 0.7415, "device": "GPU:0"}}
    trees = {"cpu": {"auc": 0.74, "device": "cpu"}, "gpu": {"auc": 0.743, "device": "cpu"}}
    found = _benchmark().faults({"deep_cross": on, "xgboost": trees})
    assert found == [
        "xgboost: hardware=gpu, and it was trained on cpu",
        "xgboost: AUC 0.0030 apart, more than 0.002",
    ]


def _benchmark():
    found = spec_from_file_location("gpu", ROOT / "benchmarks/gpu.py")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
