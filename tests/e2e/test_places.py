"""Places as processes: `kedro serve --place` beside `kedro serve`, killed, changed and ended under load."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from places import MIXED
from proml_kedro.bundle import Manifest
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from serve_process import Load, Server, serving, start
from small import make_bundle

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("made")
    fewer = {**MIXED, "trees": {**MIXED["trees"], "num_boost_round": 5}}
    return make_bundle(base / "one", components=MIXED), make_bundle(base / "two", components=fewer, version="v2")


@pytest.fixture(scope="module")
def body(bundles: tuple[Path, Path]) -> bytes:
    return json.dumps({"instances": golden_rows(bundles[0], Manifest.read(bundles[0]))[:2]}).encode()


def expected(bundle: Path, body: bytes) -> dict[bool, list[float]]:
    """The scores, and those without the keys of the rows, which are degraded."""
    rows = json.loads(body)["instances"]
    scorer = BundleScorer(bundle)
    return {False: scorer.find(rows).scores, True: scorer.find([{**row, "shop": None} for row in rows]).scores}


def options(on_failure: str, port: int | None = None) -> list[str]:
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    there = f"{{components: [personal], url: 'http://127.0.0.1:{port}', on_failure: {on_failure}}}"
    return [f"serving.places.entities={there}"]


@contextmanager
def both(bundle: Path, on_failure: str) -> Iterator[tuple[Server, Server]]:
    """A server and its place."""
    told = options(on_failure)
    (port,) = map(int, re.findall(r":(\d+)'", told[0]))
    with ExitStack() as servers:
        place = servers.enter_context(serving(bundle, "--place", "entities", *told, "--port", str(port)))
        assert any("the place 'entities' of" in line for line in place.lines)
        server = servers.enter_context(serving(bundle, "--no-online", *told))
        assert not any("the place" in line for line in server.lines), server.lines
        yield server, place


def check(load: Load, known: dict[str, dict[bool, list[float]]]) -> set[bool]:
    """Prove that each answer is one that it may be; return whether some, or others, were degraded."""
    assert (load.lost, load.refused) == ([], 0)
    seen = set()
    for status, text in load.answers:
        said = json.loads(text)
        assert status == 200, text
        is_degraded = said.get("degraded", []) == ["entities"]
        assert said["probabilities"] == known[said["model"]][is_degraded]
        seen.add(is_degraded)
    return seen


def until_answers(load: Load, is_degraded: bool, tag: str | None = None) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline
        said = json.loads(load.answers[-1][1]) if load.answers else {}
        if said and ("degraded" in said) == is_degraded and said["model"] == (tag or said["model"]):
            return
        time.sleep(0.05)


def test_a_place_that_is_killed_costs_no_request(bundles: tuple[Path, Path], body: bytes) -> None:
    known = {Manifest.read(bundles[0]).tag: expected(bundles[0], body)}
    with both(bundles[0], "fallback") as (server, place):
        load = Load(server.port, body)
        with load.running(keeping=3):
            until_answers(load, is_degraded=False)
            for pid in place.workers():
                os.kill(pid, signal.SIGSTOP)  # it takes connections, and says nothing
            until_answers(load, is_degraded=True)
            for pid in place.workers():
                os.kill(pid, signal.SIGKILL)
            place.wait_for("another one is started")
            until_answers(load, is_degraded=False)
        assert check(load, known) == {False, True}


def test_both_change_to_another_bundle_and_nothing_is_mixed(
    bundles: tuple[Path, Path], body: bytes, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(bundles[0])
    known = {Manifest.read(one).tag: expected(one, body) for one in bundles}
    with both(link, "fallback") as (server, place):
        load = Load(server.port, body)
        with load.running(keeping=3):
            for number, to in enumerate((bundles[1], bundles[0]), 1):
                link.unlink()
                link.symlink_to(to)
                for one in (place, server):
                    one.process.send_signal(signal.SIGHUP)
                for one in (place, server):
                    one.wait_for_changes(number)
                until_answers(load, False, Manifest.read(to).tag)
        check(load, known)
        models = {json.loads(text)["model"] for _, text in load.answers}
        assert models == set(known)


def test_what_cannot_be_done_without_a_place_is_not_served(bundles: tuple[Path, Path], body: bytes) -> None:
    told = options("error", port=1)
    process, lines = start(str(bundles[0]), "--port", "0", "--no-online", *told)
    assert process.wait(90) == 2
    assert "start it with `kedro serve TARGET --place entities`" in "".join(lines)
    for wrong, said in (
        (["--place", "entity", *told], "Did you mean 'entities'?"),
        (["serving.places.a.components=[personal]"], "serving.places.a.url: Field required"),
        (["serving.places.a={url: 'http://127.0.0.1:1'}"], "say what is done there"),
    ):
        process, lines = start(str(bundles[0]), "--port", "0", *wrong)
        assert process.wait(90) == 2
        assert said in "".join(lines), lines
