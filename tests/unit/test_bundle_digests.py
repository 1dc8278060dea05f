"""Equal runs write equal bundles: in other processes, at another time, whatever Python's seed of hashes is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

WITHOUT_TENSORFLOW: Mapping[str, Mapping[str, Any]] = {
    "xgboost": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 5, "params": {"subsample": 0.5}},
    "linear": {"kind": "linear", "inputs": ["*"]},
    "constant": {"kind": "constant"},
    "mixed": {"kind": "mixed", "inputs": ["visit.price", "visit.city"], "random_effects": [{"entity": "visit.city"}]},
}
GRAPH = {"all": {"block": "mlp", "of": ["categories", "numbers"], "units": [4]}}
DEEP = {"kind": "deep", "inputs": ["*"], "graph": GRAPH, "head": {"of": ["all"]}, "training": {"epochs": 2}}

WRITE = """
import sys, time
from pathlib import Path
whole = time.time
time.time = lambda: whole() + float(sys.argv[2])
from small import make_bundle
from test_bundle_digests import DEEP, WITHOUT_TENSORFLOW
kinds = {"deep": DEEP} if sys.argv[3] == "deep" else WITHOUT_TENSORFLOW
for name, component in kinds.items():
    make_bundle(Path(sys.argv[1], name), components={"one": component})
"""


def write(folder: Path, seed: int, later: float, kinds: str) -> dict[str, str]:
    """Write a bundle of each kind in a process of its own; returns their lists of digests by kind."""
    folder.mkdir()
    paths = [Path(__file__).parent, Path(__file__).parents[1]]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-c", WRITE, str(folder), str(later), kinds]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {one.parents[1].name: one.read_text() for one in folder.glob("*/bundle/SHA256SUMS")}


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["others", "deep"])
def test_bundles_of_each_kind_are_equal_in_other_processes(tmp_path: Path, kinds: str) -> None:
    first = write(tmp_path / "first", 1, 0, kinds)
    again = write(tmp_path / "again", 2, 1e8, kinds)
    assert first.keys() == again.keys() == ({"deep"} if kinds == "deep" else WITHOUT_TENSORFLOW.keys())
    for kind, sums in first.items():
        different = set(sums.splitlines()) ^ set(again[kind].splitlines())
        assert not different, f"{kind}: {sorted(different)}"
