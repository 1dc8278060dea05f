"""A server under load that is changed and ended many times; test_serve_command.py has a sample of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from malformed import hammer
from proml_kedro.bundle import Manifest
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from promoted import promote
from serve_process import Load, serving
from small import make_bundle
from soaked import note

CHANGES, ENDS, MINUTES, REQUESTS, PROMOTIONS = 50, 20, 15, 10_000, 200
TOKEN = "a-token-for-this-test"


@pytest.mark.soak
def test_nothing_is_lost_over_many_changes_and_ends(tmp_path: Path) -> None:
    bundle, link = make_bundle(tmp_path / "one"), tmp_path / "link"
    few = {"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 3}}
    both = [bundle, make_bundle(tmp_path / "other", components=few, version="v2")]
    rows = golden_rows(bundle, Manifest.read(bundle))[:2]
    body = json.dumps({"instances": rows}).encode()
    expected = {Manifest.read(one).tag: BundleScorer(one).find(rows).scores for one in both}
    link.symlink_to(bundle)
    answered = 0
    with serving(link, "--no-online", PROML_API_TOKEN=TOKEN) as server:
        load = Load(server.port, body, token=TOKEN)
        with load.running():
            for number in range(CHANGES):
                link.unlink()
                link.symlink_to(both[number % 2])
                assert server.post("/admin/reload", b"", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert (load.lost, load.refused) == ([], 0)
        for status, text in load.answers:
            said = json.loads(text)
            assert (status, said["probabilities"]) == (200, expected[said["model"]])
        answered += len(load.answers)
    for _ in range(ENDS):
        with serving(bundle, "--no-online") as server:
            load = Load(server.port, body)
            with load.running():
                time.sleep(1)
                server.process.terminate()
                assert server.process.wait(60) == 0
            assert load.lost == []
            answered += len(load.answers)
    note("No request is lost while a server is changed and ended", changes=CHANGES, ends=ENDS, answers=answered)


@pytest.mark.soak
def test_nothing_is_lost_over_many_promotions_and_rollbacks(tmp_path: Path) -> None:
    seconds, answered = promote(tmp_path, PROMOTIONS)
    note(
        "A model is promoted and rolled back under load",
        changes=PROMOTIONS,
        answers=answered,
        median_s=round(float(np.median(seconds)), 2),
        most_s=round(max(seconds), 2),
    )


@pytest.mark.soak
def test_memory_stays_flat(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    body = json.dumps({"instances": golden_rows(bundle, Manifest.read(bundle))[:2]}).encode()
    with serving(bundle, "--no-online") as server:
        load = Load(server.port, body)
        with load.running():
            time.sleep(60)
            before = server.memory()
            time.sleep(60 * (MINUTES - 1))
            grown = server.memory() - before
        assert load.lost == []
        assert {status for status, _ in load.answers} == {200}
        assert grown < 15
    note("A server under steady load", minutes=MINUTES, answers=len(load.answers), grown_mb=round(grown, 1))


@pytest.mark.soak
def test_malformed_requests_change_nothing(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    rows = golden_rows(bundle, Manifest.read(bundle))
    with serving(bundle, "--no-online", PROML_API_TOKEN=TOKEN) as server:
        assert hammer(server, rows, 1000, 1, TOKEN) == []
        before = server.memory()
        assert hammer(server, rows, REQUESTS, 2, TOKEN) == []
        grown = server.memory() - before
        assert grown < 15
    note("A server that is sent malformed bodies, heads and paths", requests=REQUESTS, grown_mb=round(grown, 1))
