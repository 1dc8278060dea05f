"""A Bento, built, checked and served as a user does it, in processes of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from packaging.requirements import Requirement

from proml_kedro.bundle import Bundle, IntegrityError
from proml_kedro.serving.bento import build_bento, check_bento
from proml_kedro.serving.guard import TOKEN_VARIABLE
from proml_kedro.serving.prove import golden_rows
from proml_kedro.spec import ServingSpec
from small import make_bundle

pytestmark = pytest.mark.e2e

JSON = {"Content-Type": "application/json"}
TOKEN = "a-token-for-this-test"
AUTHORIZED = {**JSON, "Authorization": f"Bearer {TOKEN}"}
SECRET = "Secretville"
READY_SECONDS = 600  # ends a failure; waiting ends when the server is ready or has stopped


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def bento(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bento")
    build_bento(bundle, folder, ServingSpec(max_rows=40, max_body_bytes=20_000))
    return folder


@pytest.fixture(scope="module")
def rows(bundle):
    return golden_rows(bundle, Bundle.load(bundle).manifest)


@dataclass
class Server:
    """A server that is ready, or was started at least."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, seconds=300
    ):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def predict(self, rows, headers=AUTHORIZED, path="/predict"):
        status, body = self.ask("POST", path, json.dumps({"instances": rows}).encode(), headers)
        return status, json.loads(body)

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/readyz", seconds=10)[0] == 200  # one that restarts for ever accepts, and is silent
        except OSError:
            return False


def wait_until(condition, seconds: float, server: Server) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end or server.process.poll() is not None:
            pytest.fail(f"the server does not get there within {seconds} s:\n{server.log.read_text()[-3000:]}")
        time.sleep(0.2)


@contextmanager
def started(folder: Path, scratch: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        TOKEN_VARIABLE: TOKEN,
        "BENTOML_HOME": str(scratch / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    command = [sys.executable, "-m", "bentoml", "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    log = scratch / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=scratch, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield Server(process, port, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


@pytest.fixture(scope="module")
def server(bento, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("server")
    moved = shutil.copytree(bento, scratch / "moved elsewhere")
    with started(moved, scratch) as one:
        wait_until(one.is_ready, READY_SECONDS, one)
        yield one


def test_a_bento_proves_itself(bento):
    report = check_bento(bento)
    assert (report["model"], report["rows"]) == ("sales-xgboost:v1", 20)
    assert report["largest_difference"] <= 1e-6


@pytest.mark.slow
def test_a_bento_with_a_changed_weight_is_refused(bento, tmp_path):
    copy = shutil.copytree(bento, tmp_path / "bento")
    with (copy / "src" / "bundle" / "components" / "trees" / "model.ubj").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(IntegrityError, match=r"model\.ubj was changed"):
        check_bento(copy)


@pytest.mark.slow
def test_a_bento_runs_its_own_copy_of_the_code(bento, tmp_path):
    copy = shutil.copytree(bento, tmp_path / "bento")
    file = copy / "src" / "proml_kedro" / "serving" / "scorer.py"
    file.write_text(file.read_text().replace("(columns).tolist()", "(columns).clip(0.4, 0.6).tolist()"))
    with pytest.raises(IntegrityError, match="golden rows do not score as they did"):
        check_bento(copy)


def test_what_is_no_bento_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="no Bento"):
        check_bento(tmp_path)


def test_a_bento_holds_what_a_container_needs(bento):
    for name in ("bento.yaml", "env/docker/Dockerfile", "env/python/requirements.txt", "src/service.py"):
        assert (bento / name).is_file(), name
    pins = (bento / "env" / "python" / "requirements.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    names = {pin.partition("==")[0] for pin in pins}
    assert names >= {"bentoml", "xgboost", "pyarrow"}
    assert not names & {"feast", "duckdb", "tensorflow", "kedro"}, "looking features up needs none of them"
    assert not any(file.is_symlink() for file in bento.rglob("*"))


@pytest.mark.slow
def test_a_bento_runs_with_nothing_but_its_requirements(bento, tmp_path):
    pins = (bento / "env" / "python" / "requirements.txt").read_text().split()
    allowed = _closure({pin.partition("==")[0] for pin in pins})
    script = tmp_path / "only_pinned.py"
    script.write_text(_ONLY_PINNED)
    result = subprocess.run(
        [sys.executable, str(script), json.dumps(sorted(allowed)), str(bento)],
        cwd=bento / "src",
        env={**os.environ, "BENTOML_HOME": str(tmp_path), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads(result.stdout.splitlines()[-1])["largest_difference"] <= 1e-6


_ONLY_PINNED = """
import os, runpy, sys
from importlib.metadata import packages_distributions

allowed = set(__import__("json").loads(sys.argv[1]))
normal = lambda name: name.lower().replace("_", "-")
known = {top: {normal(name) for name in names} for top, names in packages_distributions().items()}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        names = known.get(name.partition(".")[0])
        if names and not names & allowed and not name.startswith("proml_kedro"):
            raise ModuleNotFoundError(f"{name} is not among the requirements", name=name)


sys.path = [os.getcwd()] + [one for one in sys.path[1:] if not one.endswith("/src")]
sys.meta_path.insert(0, Refuse())
sys.argv = ["check", sys.argv[2]]
runpy.run_module("proml_kedro.serving.prove", run_name="__main__")
"""


def _closure(names: set[str]) -> set[str]:
    """The distributions that these need, by the metadata of what is installed."""
    found: set[str] = set()
    pending = [Requirement(name) for name in names]
    while pending:
        one = pending.pop()
        name = one.name.lower().replace("_", "-")
        if (key := f"{name}{sorted(one.extras)}") in found:
            continue
        found |= {name, key}
        try:
            needed = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        extras = one.extras or {""}
        pending += [two for two in needed if not two.marker or any(two.marker.evaluate({"extra": e}) for e in extras)]
    return found


def test_served_scores_are_the_stored_ones(server, bundle, rows):
    status, answer = server.predict(rows)
    assert status == 200
    expected = pq.read_table(bundle / "golden.parquet")["probability"].to_numpy()
    np.testing.assert_allclose(answer["probabilities"], expected, rtol=0, atol=1e-6)
    assert answer["model"] == "sales-xgboost:v1"


def test_limits_are_those_it_was_built_with(server, rows):
    assert server.predict((rows * 3)[:40])[0] == 200
    assert server.predict((rows * 3)[:41])[0] == 422


def test_missing_values_and_unknown_categories_are_served(server, rows):
    status, answer = server.predict([dict.fromkeys(rows[0]), {**rows[0], "visit.city": "Atlantis"}])
    assert status == 200
    assert all(0 < one < 1 for one in answer["probabilities"])


def test_bad_requests_are_refused_and_leave_no_value_in_the_log(server, rows):
    bad = [
        {**rows[0], "visit.price": SECRET},
        {**rows[0], "visit.city": [SECRET]},
        {**rows[0], SECRET: 1},
    ]
    assert [server.predict([row])[0] for row in bad] == [422, 422, 422]
    assert server.ask("POST", "/predict", f"{{{SECRET}".encode(), AUTHORIZED)[0] == 400
    assert (
        server.ask("POST", "/predict", f"city={SECRET}".encode(), {**AUTHORIZED, "Content-Type": "text/csv"})[0] == 415
    )
    assert server.ask("POST", "/predict", SECRET.encode() * 5000, AUTHORIZED)[0] == 413
    assert server.predict([{"shop": SECRET}], path="/predict_online")[0] == 422
    last = json.dumps({"instances": [{**rows[0], "visit.city": SECRET}]}).encode().ljust(7321)
    assert server.ask("POST", "/predict", last, AUTHORIZED)[0] == 200
    wait_until(lambda: "length=7321" in server.log.read_text(), READY_SECONDS, server)  # later than all before it
    log = server.log.read_text()
    assert "path=/predict" in log  # it is the log that has them, and it was written
    assert SECRET not in log
    assert "Traceback" not in log
    assert TOKEN not in log


def test_a_chunked_body_is_limited_too(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    try:
        connection.request("POST", "/predict", iter([b"x" * 15_000] * 2), AUTHORIZED, encode_chunked=True)
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_a_token_is_needed_except_for_probes(server, rows):
    assert server.predict(rows, JSON)[0] == 401
    assert server.predict(rows, {**JSON, "Authorization": "Bearer wrong"})[0] == 401
    assert server.ask("GET", "/metadata")[0] == 401
    assert [server.ask("GET", path)[0] for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]


def test_metrics_and_metadata_are_there(server):
    status, body = server.ask("GET", "/metrics", headers=AUTHORIZED)
    assert status == 200
    assert b"bentoml_service_request_total" in body
    status, body = server.ask("GET", "/metadata", headers=AUTHORIZED)
    assert status == 200
    assert json.loads(body)["version"] == "v1"


def test_looking_up_without_a_store_says_so(server, rows):
    keys = {"shop": 1, **{name: rows[0][name] for name in rows[0] if name.startswith("visit.")}}
    status, answer = server.predict([keys], path="/predict_online")
    assert status == 503
    assert "PROML_FEATURE_STORE" in answer["error"]


@pytest.mark.slow
def test_a_damaged_bento_never_becomes_ready(bento, tmp_path):
    damaged = shutil.copytree(bento, tmp_path / "bento")
    with (damaged / "src" / "bundle" / "components" / "trees" / "model.ubj").open("ab") as file:
        file.write(b"\0")
    with started(damaged, tmp_path) as server:
        wait_until(lambda: "model.ubj was changed" in server.log.read_text(), READY_SECONDS, server)
        assert not server.is_ready()
