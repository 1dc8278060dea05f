"""A challenger beside the model that is served: processes of their own, asked over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.bundle import Bundle, Manifest
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from serve_process import Load, Server, serving
from small import make_bundle

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("made")
    few = {"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 3}}
    return make_bundle(base / "champion"), make_bundle(base / "challenger", components=few, version="v2")


@pytest.fixture(scope="module")
def rows(bundles: tuple[Path, Path]) -> Rows:
    found = golden_rows(bundles[0], Manifest.read(bundles[0]))
    return [{**found[number % len(found)], "visit.shop": number} for number in range(40)]


@pytest.fixture(scope="module")
def scores(bundles: tuple[Path, Path], rows: Rows) -> list[list[float]]:
    """Of the champion, and of the challenger."""
    found = [BundleScorer(one).find(rows).scores for one in bundles]
    assert all(own != other for own, other in zip(*found, strict=True))
    return found


def options(challenger: Path, **changes: Any) -> list[str]:
    return [f"serving.challenger.{key}={value}" for key, value in {"bundle": challenger, **changes}.items()]


def predict(server: Server, rows: Rows, name: str = "x") -> tuple[int, dict[str, Any]]:
    status, text = server.post("/predict", json.dumps({"instances": rows}).encode(), **{"X-Request-Id": name})
    return status, json.loads(text)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def figure(server: Server, name: str) -> float:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/metrics")
    found = re.findall(rf"^{re.escape(name)} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
    connection.close()
    return sum(map(float, found))


def process_of(server: Server) -> int:
    """The challenger's process."""
    (worker,) = server.workers()
    (child,) = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return int(child)


def logged(folder: Path) -> Rows:
    return pa.concat_tables([pq.read_table(one) for one in folder.glob("predictions-*.parquet")]).to_pylist()


def test_a_shadow_scores_what_was_answered_and_nobody_gets_its_answers(
    bundles: tuple[Path, Path], rows: Rows, scores: list[list[float]], tmp_path: Path
) -> None:
    champion, challenger = bundles
    with serving(champion, "--no-online", "--log", str(tmp_path), *options(challenger)) as server:
        status, said = predict(server, rows, "first")
        assert (status, said["probabilities"], said["model"]) == (200, scores[0], Manifest.read(champion).tag)
        assert predict(server, [{"visit.shop": 1}], "wrong")[0] == 422
        until(lambda: figure(server, 'proml_challenger_rows_total{outcome="scored"}') == 40)
        assert figure(server, "proml_challenger_difference_count") == 40
        wanted = sum(abs(own - other) for own, other in zip(*scores, strict=True))
        assert figure(server, "proml_challenger_difference_sum") == pytest.approx(wanted)
        assert figure(server, 'proml_rows_total{route="/predict"}') == 40, "answered once"
    for answered, bundle, found in ((True, champion, scores[0]), (False, challenger, scores[1])):
        own = [one for one in logged(tmp_path) if one["answered"] is answered]
        assert {one["bundle"] for one in own} == {Manifest.read(bundle).tag}
        assert [one["score"] for one in sorted(own, key=lambda one: one["row"])] == found
        assert {one["request_id"] for one in own} == {"first"}


def test_a_shadow_that_hangs_or_dies_changes_nothing(bundles: tuple[Path, Path], rows: Rows) -> None:
    champion, challenger = bundles
    body = json.dumps({"instances": rows[:2]}).encode()
    with serving(champion, "--no-online", *options(challenger)) as server:
        process, load = process_of(server), Load(server.port, body)
        os.kill(process, signal.SIGSTOP)
        with load.running(keeping=2, opening=1):
            until(lambda: len(load.answers) > 1000)
            assert figure(server, 'proml_challenger_rows_total{outcome="dropped"}') > 1000, "it is bounded"
            os.kill(process, signal.SIGCONT)
            until(lambda: figure(server, 'proml_challenger_rows_total{outcome="scored"}') > 0)
            os.kill(process, signal.SIGKILL)
            enough = len(load.answers) + 1000
            until(lambda: len(load.answers) > enough)
        assert (load.lost, load.refused) == ([], 0)
        assert {status for status, _ in load.answers} == {200}
        assert len({text for _, text in load.answers}) == 1
        server.wait_for("another one is started")
        before = figure(server, 'proml_challenger_rows_total{outcome="scored"}')

        def is_back() -> bool:
            predict(server, rows[:2])
            return figure(server, 'proml_challenger_rows_total{outcome="scored"}') > before

        until(is_back)


def test_a_canary_answers_for_its_entities_and_them_alone(
    bundles: tuple[Path, Path], rows: Rows, scores: list[list[float]], tmp_path: Path
) -> None:
    champion, challenger = bundles
    tags = [Manifest.read(one).tag for one in bundles]
    canary = options(challenger, mode="canary", share=0.4)
    with serving(champion, "--no-online", "--workers", "2", "--log", str(tmp_path), *canary) as server:
        status, said = predict(server, rows, "all")
        assert status == 200
        theirs = [model == tags[1] for model in said["models"]]
        assert 8 < sum(theirs) < 24
        assert said["probabilities"] == [scores[other][row] for row, other in enumerate(theirs)]
        for row in [*range(40), *range(40)]:  # whoever of the workers is asked
            status, one = predict(server, rows[row : row + 1], f"row {row}".replace(" ", "-"))
            assert (status, one["models"]) == (200, [tags[theirs[row]]])
            assert one["probabilities"] == [scores[theirs[row]][row]]
    found = [one for one in logged(tmp_path) if one["request_id"] == "all"]
    assert {one["row"]: (one["bundle"], one["score"], one["answered"]) for one in found} == {
        row: (tags[other], scores[other][row], True) for row, other in enumerate(theirs)
    }
    assert len(found) == 40


def test_the_champion_answers_for_a_canary_that_does_not(
    bundles: tuple[Path, Path], rows: Rows, scores: list[list[float]]
) -> None:
    champion, challenger = bundles
    canary = options(challenger, mode="canary", share=1, timeout_ms=200)
    with serving(champion, "--no-online", *canary) as server:
        assert predict(server, rows)[1]["probabilities"] == scores[1]
        os.kill(process_of(server), signal.SIGSTOP)
        for _ in range(20):
            status, said = predict(server, rows)
            assert (status, said["probabilities"]) == (200, scores[0])
            assert set(said["models"]) == {Manifest.read(champion).tag}
        assert figure(server, "proml_challenger_fallbacks_total") == 20 * 40
        assert figure(server, 'proml_challenger_rows_total{outcome="late"}') == 5 * 40, "then it is left alone"
        os.kill(process_of(server), signal.SIGCONT)


def refused(bundle: Path, *told: str) -> str:
    command = [sys.executable, "-m", "proml_kedro", "serve", str(bundle), "--port", "0", *told]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_cannot_be_a_challenger(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    champion, challenger = bundles
    assert "there is no bundle in 'nowhere'" in refused(champion, "serving.challenger.bundle=nowhere")
    assert "say which, such as `share: 0.05`" in refused(champion, *options(challenger, mode="canary"))
    assert "did you mean 'shop'" in refused(champion, *options(challenger, by="shoop")).lower()
    assert "less than or equal to 1" in refused(champion, *options(challenger, share=2))
    assert "leave out all but serving.challenger." in refused(champion, "model=logistic")


def test_a_damaged_challenger_is_named_and_the_champion_itself_is_none(
    bundles: tuple[Path, Path], rows: Rows, tmp_path: Path
) -> None:
    import shutil

    champion, challenger = bundles
    damaged = shutil.copytree(challenger, tmp_path / "damaged")
    (damaged / "golden.parquet").write_bytes(b"no Parquet")
    assert "golden.parquet" in refused(champion, "--no-online", *options(damaged))
    with serving(champion, "--no-online", *options(champion)) as server:
        server.wait_for("nothing is compared")
        assert predict(server, rows)[0] == 200
    assert Bundle.load(champion)
