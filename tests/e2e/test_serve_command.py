"""`kedro serve` as a process: nothing is lost when workers change or end, and what is broken is never served."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from proml_kedro.bundle import Manifest
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from promoted import promote
from serve_process import Load, serving, start
from small import make_bundle

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RELOADS = 3


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def body(bundle: Path) -> bytes:
    from proml_kedro.bundle import Manifest

    return json.dumps({"instances": golden_rows(bundle, Manifest.read(bundle))[:2]}).encode()


def test_no_request_is_lost_when_workers_change(bundle: Path, body: bytes) -> None:
    with serving(bundle, "--no-online") as server:
        load = Load(server.port, body, pause=0.02)
        seen = set(server.workers())
        with load.running():
            for number in range(RELOADS):
                server.process.send_signal(signal.SIGHUP)
                server.wait_for_changes(number + 1)
                seen |= set(server.workers())
                time.sleep(0.5)
        assert load.lost == []
        assert load.refused == 0
        assert {status for status, _ in load.answers} == {200}
        assert len({content for _, content in load.answers}) == 1
        assert len(load.answers) > 50 * RELOADS
        assert len(seen) > RELOADS


TOKEN = "a-token-for-this-test"


def scored(bundle: Path, body: bytes) -> list[float]:
    return BundleScorer(bundle).find(json.loads(body)["instances"]).scores


@pytest.mark.slow
def test_every_answer_is_of_one_bundle_or_the_other_and_reload_says_which(
    bundle: Path, body: bytes, tmp_path: Path
) -> None:
    few = {"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 3}}
    other, link = make_bundle(tmp_path / "other", components=few, version="v2"), tmp_path / "link"
    link.symlink_to(bundle)
    damaged = shutil.copytree(other, tmp_path / "damaged")
    (damaged / "golden.parquet").write_bytes(b"no Parquet")

    def reload(to: Path) -> tuple[int, dict[str, Any]]:
        link.unlink()
        link.symlink_to(to)
        status, text = server.post("/admin/reload", b"", Authorization=f"Bearer {TOKEN}")
        return status, json.loads(text)

    def answer() -> tuple[str, list[float]]:
        status, text = server.post("/predict", body, Authorization=f"Bearer {TOKEN}")
        said = json.loads(text)
        assert status == 200
        return said["model"], said["probabilities"]

    expected = {Manifest.read(one).tag: scored(one, body) for one in (bundle, other)}
    with serving(link, "--no-online", "--workers", "2", PROML_API_TOKEN=TOKEN) as server:
        load = Load(server.port, body, token=TOKEN, pause=0.02)
        with load.running():
            for to in (other, bundle, other):
                status, said = reload(to)
                assert (status, said["model"]) == (200, Manifest.read(to).tag)
            status, said = reload(damaged)
            assert (status, "nothing is changed" in said["error"]) == (409, True)
            assert "golden.parquet" not in said["error"], "what lies on this machine is for its log"
            until_new = time.monotonic() + 30
            while answer()[0] != Manifest.read(other).tag:
                assert time.monotonic() < until_new
        assert (load.lost, load.refused) == ([], 0)
        assert {status for status, _ in load.answers} == {200}
        assert len(load.answers) > 100
        for said in (json.loads(text) for _, text in load.answers):
            assert said["probabilities"] == expected[said["model"]]
        assert server.post("/admin/reload", b"")[0] == 401
    with serving(other, "--no-online", PROML_API_TOKEN="") as server:
        assert server.post("/admin/reload", b"")[0] == 403


def test_no_request_is_lost_when_the_server_is_told_to_end(bundle: Path, body: bytes) -> None:
    with serving(bundle, "--no-online") as server:
        load = Load(server.port, body)
        with load.running():
            while len(load.answers) < 200:
                time.sleep(0.05)
            server.process.terminate()
            assert server.process.wait(60) == 0
        assert load.lost == [], load.lost
        assert load.refused > 0
        assert {status for status, _ in load.answers} == {200}


@pytest.mark.parametrize("file", ["proml.yaml", "components", "golden.parquet"])
def test_a_damaged_bundle_is_never_served(file: str, bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    damaged = next(one for one in [copy / file, *sorted((copy / file).rglob("*"))] if one.is_file())
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 4
    damaged.write_bytes(content)
    process, lines = start(str(copy), "--port", "0")
    begun = time.monotonic()
    assert process.wait(60) == 2
    assert time.monotonic() - begun < 60
    assert damaged.name in "".join(lines)
    assert not any("Traceback" in line or "serving " in line for line in lines)


def test_only_what_is_signed_is_served(bundle: Path, body: bytes, tmp_path: Path) -> None:
    signed, private, public = shutil.copytree(bundle, tmp_path / "one"), tmp_path / "private", tmp_path / "public"
    made = f"openssl genpkey -algorithm ed25519 -out {private} && openssl pkey -in {private} -pubout -out {public}"
    sign = f"openssl pkeyutl -sign -rawin -inkey {private} -in SHA256SUMS -out SHA256SUMS.sig"
    subprocess.run(["bash", "-c", f"{made} && {sign}"], cwd=signed, check=True, capture_output=True)
    link, wanted = tmp_path / "link", f"serving.verify_key={public}"
    link.symlink_to(signed)
    with serving(link, "--no-online", wanted) as server:
        assert server.post("/predict", body)[0] == 200
        link.unlink()
        link.symlink_to(bundle)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("nothing is changed")
        assert any("it is not signed" in line for line in server.lines)
        assert server.post("/predict", body)[0] == 200
    process, lines = start(str(bundle), "--port", "0", wanted)
    assert process.wait(60) == 2
    assert "it is not signed" in "".join(lines)


def test_a_bundle_that_is_damaged_later_changes_nothing(bundle: Path, body: bytes, tmp_path: Path) -> None:
    good, bad, link = tmp_path / "good", tmp_path / "bad", tmp_path / "link"
    shutil.copytree(bundle, good)
    shutil.copytree(bundle, bad)
    (bad / "golden.parquet").write_bytes(b"no Parquet")
    link.symlink_to(good)
    with serving(link, "--no-online") as server:
        link.unlink()
        link.symlink_to(bad)
        load = Load(server.port, body, pause=0.02)
        with load.running(keeping=1):
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("nothing is changed")
        assert load.lost == []
        assert {status for status, _ in load.answers} == {200}


def test_it_follows_the_file_that_says_what_is_live(bundle: Path, body: bytes, tmp_path: Path) -> None:
    data, project = tmp_path / "data", tmp_path
    for name in ("one", "two"):
        shutil.copytree(bundle, data / "bundles" / name)
    shutil.copytree(Path(__file__).parents[2] / "conf", project / "conf")
    release = data / "release"
    release.mkdir()

    def name(said: str) -> None:
        (release / "new").write_text(said)
        (release / "new").rename(release / "flight_delays.json")

    name('{"champion": "bundles/one"}')
    with serving(Path("flight_delays"), "--no-online", folder=project) as server:
        assert any("bundles/one" in line for line in server.lines)
        load = Load(server.port, body, pause=0.02)
        with load.running(keeping=2):
            name('{"champion": "bundles/two"}')
            server.wait_for("changed to")
            assert any("changed to" in line and "bundles/two" in line for line in server.lines)
            name('{"champion": "bundles/three"}')
            server.wait_for("nothing is changed")
            name("{broken")
            server.wait_for("is not what says which bundle is live")
        assert (load.lost, load.refused) == ([], 0)
        assert {status for status, _ in load.answers} == {200}


def test_a_model_is_promoted_and_rolled_back_under_load(tmp_path: Path) -> None:
    seconds, answers = promote(tmp_path, 4)
    assert len(seconds) == 4
    assert answers > 100


def test_processes_stand_by_and_take_over(bundle: Path, body: bytes) -> None:
    with serving(bundle, "--no-online", standby=True) as server:
        deadline = time.monotonic() + 60
        while len(server.children()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (first,) = server.workers()
        (waiting,) = set(server.children()) - {first}
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_changes(1)
        assert waiting in server.workers()
        waiting = (set(server.children()) - set(server.workers())).pop()
        os.kill(waiting, signal.SIGKILL)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_changes(2)
        assert server.post("/predict", body)[0] == 200
        seen = server.children()
    assert all(not Path(f"/proc/{one}").exists() for one in seen)


def test_memory_is_flat_once_it_is_warm(bundle: Path, body: bytes) -> None:
    with serving(bundle, "--no-online") as server:
        warm, load = Load(server.port, body), Load(server.port, body)
        with warm.running():
            while len(warm.answers) < 1500:
                time.sleep(0.05)
        before = server.memory()
        with load.running():
            while len(load.answers) < 6000:
                time.sleep(0.05)
        assert server.memory() - before < 8
        assert load.lost == []


def test_a_worker_that_is_killed_is_replaced(bundle: Path) -> None:
    with serving(bundle, "--no-online", "--workers", "2") as server:
        first = server.workers()
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        server.wait_for("another one is started")
        deadline = time.monotonic() + 60
        while len(set(server.workers()) - {first[0]}) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.get("/readyz") == 200


def test_the_lines_of_the_documentation_are_answered(bundle: Path, body: bytes, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "serve-a-model.md").read_text()
    lines = re.findall(r"^\$ (curl .*)$", text, re.MULTILINE)
    assert len(lines) >= 4
    (tmp_path / "rows.json").write_bytes(body)
    with serving(bundle, "--no-online") as server:
        for line in lines:
            asked = line.replace("localhost:3000", f"127.0.0.1:{server.port}").replace(
                "curl ", "curl --fail-with-body "
            )
            environment = {**os.environ, "PROML_API_TOKEN": "x"}
            done = subprocess.run(
                ["bash", "-c", asked], cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False
            )
            assert done.returncode == 0, (line, done.stdout)
            assert json.loads(done.stdout)


def ask_by_name(port: int, body: bytes, who: str, answered: list[str], is_over: threading.Event) -> None:
    """Ask all the time, each request with a name of its own, and note those that were answered."""
    number = 0
    while not is_over.is_set():
        number += 1
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Content-Type": "application/json", "X-Request-Id": f"{who}-{number}"}
        with suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/predict", body, headers)
            if connection.getresponse().read():
                answered.append(headers["X-Request-Id"])
        connection.close()


def test_what_was_answered_is_logged_though_workers_are_killed(bundle: Path, body: bytes, tmp_path: Path) -> None:
    answered: list[str] = []
    is_over = threading.Event()
    with serving(bundle, "--no-online", "--workers", "2", "--log", str(tmp_path / "log")) as server:
        clients = [
            threading.Thread(target=ask_by_name, args=(server.port, body, str(one), answered, is_over))
            for one in range(4)
        ]
        for one in clients:
            one.start()
        for killed in range(3):
            enough = len(answered) + 150
            while len(answered) < enough:
                time.sleep(0.05)
            os.kill(server.workers()[0], signal.SIGKILL)
            server.wait_for_lines("another one is started", killed + 1)
        is_over.set()
        for one in clients:
            one.join()
    tables = [pq.read_table(file) for file in (tmp_path / "log").glob("predictions-*.parquet")]
    logged = [
        one["request_id"]
        for table in tables
        for one in table.select(["request_id", "row"]).to_pylist()
        if not one["row"]
    ]
    assert len(logged) == len(set(logged))
    assert len(answered) > 450
    assert set(answered) - set(logged) == set()


def test_workers_end_when_their_supervisor_is_killed(bundle: Path) -> None:
    with serving(bundle, "--no-online") as server:
        (worker,) = server.workers()
        server.process.kill()
        deadline = time.monotonic() + 30
        while Path(f"/proc/{worker}").exists() and "State:\tZ" not in Path(f"/proc/{worker}/status").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_all_workers_serve_the_same_wherever_a_link_moves(bundle: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(bundle)
    with serving(link, "--no-online") as server:
        link.unlink()
        link.symlink_to(tmp_path)  # where no bundle is
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for("another one is started")
        deadline = time.monotonic() + 60
        while not server.workers():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.get("/livez") == 200


def test_slow_and_endless_heads_are_cut(bundle: Path) -> None:
    with serving(bundle, "--no-online") as server, ExitStack() as clients:
        slow = clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        endless = clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        begun = time.monotonic()
        sent = 0
        try:
            endless.sendall(b"GET /livez HTTP/1.1\r\n")
            while sent < 10 << 20:
                endless.sendall(b"X-A: " + b"a" * 4000 + b"\r\n")
                sent += 4000
        except OSError:
            pass
        assert sent < 5 << 20
        slow.settimeout(40)
        with suppress(ConnectionError):
            assert slow.recv(1) == b""
        assert 5 < time.monotonic() - begun < 40
        assert server.get("/livez") == 200


def test_it_listens_to_this_machine_unless_there_is_a_token(bundle: Path) -> None:
    environment: dict[str, Any] = {"PROML_API_TOKEN": ""}
    process, lines = start(str(bundle), "--port", "0", "--host", "0.0.0.0", **environment)
    assert process.wait(60) == 2
    assert "set PROML_API_TOKEN to a token that clients have to send" in "".join(lines)


def test_a_port_that_is_taken_and_names_that_are_none(bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process, lines = start(str(bundle), "--port", str(taken.getsockname()[1]))
        assert process.wait(60) == 2
    assert "choose another --port" in "".join(lines)
    process, lines = start(str(tmp_path))
    assert process.wait(60) == 2
    assert "it has no proml.yaml" in "".join(lines)
    process, lines = start("flight_delay")
    assert process.wait(60) == 2
    assert "Did you mean 'flight_delays'?" in "".join(lines)


def test_neither_values_of_requests_nor_the_token_are_in_what_the_processes_say(bundle: Path, body: bytes) -> None:
    token, secret = "a token of some length", "Secretville"
    rows = json.loads(body)["instances"]
    bad = [{**rows[0], "visit.price": secret}, {**rows[0], "visit.city": [secret]}, {**rows[0], secret: 1}]
    bodies = [
        *(json.dumps({"instances": [one]}).encode() for one in bad),
        f"{{{secret}".encode(),
        secret.encode() * 5000,
    ]
    with serving(bundle, "--no-online", PROML_API_TOKEN=token) as server:

        def ask(content: bytes, given: str, path: str = "/predict") -> int:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            headers = {"Authorization": f"Bearer {given}", "Content-Type": "application/json"}
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        assert [ask(one, token) for one in bodies] == [422, 422, 422, 400, 413]
        assert ask(json.dumps({"instances": [{**rows[0], "visit.city": secret}]}).encode(), token) == 200
        assert ask(body, f"{token}, but another") == 401
        assert ask(body, token, f"/{secret}") == 404
        server.process.terminate()
        server.process.wait(60)
        said = "".join(server.lines)
    assert "serving " in said, "it was written"
    assert secret not in said
    assert token not in said
    assert "Traceback" not in said
