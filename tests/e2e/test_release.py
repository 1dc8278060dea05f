"""From a run to what is live and back, by commands as users type them, under load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.bundle import Manifest
from proml_kedro.serving.prove import golden_rows
from serve_process import Load, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TURNS = 4


def test_models_go_live_and_back_without_a_lost_request(shop: Any, tmp_path: Path) -> None:
    def model(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "proml_kedro", "model", *words]
        return subprocess.run(command, cwd=shop.folder, capture_output=True, text=True)

    pipelines = "--pipelines=features,train,evaluate,bundle"
    for chosen in ((), ("model=linear",)):
        done = shop.run(pipelines, *chosen)
        assert done.returncode == 0, done.stderr
        said = model("register", *chosen)
        assert said.returncode == 0, said.stderr
    assert model("promote", "2").returncode == 0
    first = model("promote", "1")
    assert (first.returncode, "comparison: version 1" in first.stdout) == (0, True), first.stderr
    folders = {number: shop.data / "release" / "shop" / str(number) / "bundle" for number in (1, 2)}
    rows = golden_rows(folders[1], Manifest.read(folders[1]))[:2]
    with serving(Path("shop"), "--no-online", folder=shop.folder) as server:
        load = Load(server.port, json.dumps({"instances": rows}).encode(), pause=0.02)
        with load.running():
            for turn in range(TURNS):
                back = turn % 2 == 0
                done = model("rollback") if back else model("promote", "1", "--force", "--why", "again")
                assert done.returncode == 0, done.stderr
                server.wait_for_changes(turn + 1)
        assert (load.lost, load.refused) == ([], 0)
        assert {status for status, _ in load.answers} == {200}
        assert len({content for _, content in load.answers}) == 2, "those of the one or of the other"
    listed = json.loads(model("list", "--json").stdout)
    assert [(one["version"], one["stage"]) for one in listed] == [(2, "archived"), (1, "champion")]
    freed = subprocess.run(
        [sys.executable, "-m", "proml_kedro", "store", "gc", "--older-than", "0s"],
        cwd=shop.folder, capture_output=True, text=True,
    )  # fmt: skip
    assert freed.returncode == 0, freed.stderr
    assert all((one / "proml.yaml").is_file() for one in folders.values())
