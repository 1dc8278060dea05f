"""Networks and trees on a GPU beside the processor: how good, where they ran, and how much faster.

    python benchmarks/gpu.py                 # one GPU, ten minutes at most
    python benchmarks/gpu.py --lists 5000    # fewer rows

Trains `deep_cross` and `xgboost` on a generated search for jobs, on either device in a process of its own; tables,
features and training set are made before, once. For each model: AUC on the test period, the device that its summary
names, and the seconds of its fit (a process starts, imports, trains, saves). The GPU's AUC has to be within .002 of the
processor's, and each model has to have been on the device that was asked for; otherwise it ends with 1. Without a GPU
it says so in one line and ends with 2. Prints a table, and last one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from proml_kedro import open_project
from proml_kedro.hardware import count_gpus

ROOT = Path(__file__).resolve().parents[1]
MODELS = {"deep_cross": "tower", "xgboost": "trees"}
MOST_APART = 0.002
DEVICES = {"cpu": ("cpu",), "gpu": ("gpu", "cuda")}
"""What TensorFlow and XGBoost call a device, in small letters, before its number."""


def chosen(model: str, device: str, lists: int, data_dir: str) -> list[str]:
    """Name the configuration of a run."""
    jobs = ["problem=job_recommendations", f"problem.generator.lists={lists}", "~evaluation.baseline"]
    return [*jobs, f"model={model}", f"hardware={device}", f"data_dir={data_dir}"]


def train(model: str, device: str, lists: int, data_dir: str) -> dict[str, Any]:
    """Train in this process, and tell how good the model is and where it was trained."""
    start = time.perf_counter()
    project = open_project(ROOT, *chosen(model, device, lists, data_dir))
    trained = project.run(results=("trained_model",))["trained_model"].path
    seconds = time.perf_counter() - start
    evaluation = project.run(results=("evaluation",))["evaluation"].path
    facts = json.loads((trained / "summary.json").read_text())[MODELS[model]]
    auc = json.loads((evaluation / "metrics.json").read_text())["candidate"]["auc"]
    return {"auc": auc, "device": facts.get("device", "cpu"), "seconds": seconds}


def compare(lists: int, data_dir: str) -> dict[str, dict[str, Any]]:
    """Train each model on each device, every time in a new process: libraries choose devices once."""
    found: dict[str, dict[str, Any]] = {}
    open_project(ROOT, *chosen("xgboost", "cpu", lists, data_dir)).run(results=("training_set",))
    open_project(ROOT, *chosen("deep_cross", "cpu", lists, data_dir)).run(results=("training_set",))
    for model in MODELS:
        for device in DEVICES:
            command = [sys.executable, __file__, "--train", model, device, data_dir, "--lists", str(lists)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found.setdefault(model, {})[device] = json.loads(done.stdout.splitlines()[-1])
    return found


def faults(found: dict[str, dict[str, Any]]) -> list[str]:
    """Find what is not as it should be."""
    said = []
    for model, by_device in found.items():
        for device, facts in by_device.items():
            if not facts["device"].lower().startswith(DEVICES[device]):
                said.append(f"{model}: hardware={device}, and it was trained on {facts['device']}")
        apart = abs(by_device["gpu"]["auc"] - by_device["cpu"]["auc"])
        if apart > MOST_APART:
            said.append(f"{model}: AUC {apart:.4f} apart, more than {MOST_APART}")
    return said


def main() -> None:
    """Compare, or train one model of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=20_000, help="lists of ten jobs")
    parser.add_argument("--train", nargs=3, metavar=("MODEL", "DEVICE", "DATA"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        model, device, data_dir = given.train
        print(json.dumps(train(model, device, given.lists, data_dir)))
        return
    if not count_gpus():
        print("no GPU is found; this benchmark compares one with the processor", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory() as folder:
        found = compare(given.lists, folder)
    print(f"{'model':12}{'device':12}{'AUC':>8}{'seconds':>10}")
    for model, by_device in found.items():
        for facts in by_device.values():
            print(f"{model:12}{facts['device']:12}{facts['auc']:8.4f}{facts['seconds']:10.1f}")
    speed = {f"{model}_speedup": one["cpu"]["seconds"] / one["gpu"]["seconds"] for model, one in found.items()}
    said = faults(found)
    for line in said:
        print(line, file=sys.stderr)
    print(json.dumps({**found, **speed}))
    sys.exit(1 if said else 0)


if __name__ == "__main__":
    main()
