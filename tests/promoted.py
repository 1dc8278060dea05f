"""A server under load whose model is promoted and rolled back by its release file, as `kedro model promote` does it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from proml_kedro.bundle import Manifest
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from serve_process import Load, Server, serving
from small import make_bundle

_PROBLEM = "flight_delays"


def promote(folder: Path, times: int) -> tuple[list[float], int]:
    """Promote and roll back under load, and prove that no request is lost and each answer is of a model that was live.

    Args:
        folder: An empty folder.
        times: How often; each time once a process stands by, as it does a few seconds after the last change.

    Returns:
        The seconds from each change of the file to the first answer of the new model, and how many answers there were.
    """
    few = {"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 3}}
    names, data = ("one", "two"), folder / "data"
    made = [make_bundle(folder / "made" / "one"), make_bundle(folder / "made" / "two", components=few, version="v2")]
    for name, one in zip(names, made, strict=True):
        shutil.copytree(one, data / "bundles" / name)
    shutil.copytree(Path(__file__).parents[1] / "conf", folder / "conf")
    rows = golden_rows(made[0], Manifest.read(made[0]))[:2]
    body = json.dumps({"instances": rows}).encode()
    tags = [Manifest.read(one).tag for one in made]
    expected = {tag: BundleScorer(one).find(rows).scores for tag, one in zip(tags, made, strict=True)}
    release = data / "release"
    release.mkdir()

    def name(number: int) -> None:
        (release / "new").write_text(json.dumps({"champion": f"bundles/{names[number % 2]}"}))
        (release / "new").rename(release / f"{_PROBLEM}.json")

    name(0)
    seconds = []
    with serving(Path(_PROBLEM), "--no-online", folder=folder, standby=True) as server:
        load = Load(server.port, body)
        with load.running(keeping=2):
            for number in range(1, times + 1):
                _wait_until_ready(server)
                begun = time.monotonic()
                name(number)
                _wait_for(server, body, tags[number % 2])
                seconds.append(time.monotonic() - begun)
        assert (load.lost, load.refused) == ([], 0)
    for status, text in load.answers:
        said = json.loads(text)
        assert (status, said["probabilities"]) == (200, expected[said["model"]])
    assert {json.loads(text)["model"] for _, text in load.answers} == set(tags)
    return seconds, len(load.answers)


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + 120
    while not server.standing_by():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _wait_for(server: Server, body: bytes, tag: str) -> None:
    deadline = time.monotonic() + 60
    while json.loads(server.post("/predict", body)[1])["model"] != tag:
        assert time.monotonic() < deadline
        time.sleep(0.01)
