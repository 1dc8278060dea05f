"""A Bento, built, checked and served as a user does it, in processes of its own."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from proml_kedro.bundle import Bundle, IntegrityError
from proml_kedro.serving.bento import build_bento
from proml_kedro.serving.guard import TOKEN_VARIABLE
from proml_kedro.serving.prove import check_bento, golden_rows
from proml_kedro.serving.whole import exit_unless_whole, prove_whole
from proml_kedro.spec import ServingSpec
from small import make_bundle

pytestmark = pytest.mark.e2e

JSON = {"Content-Type": "application/json"}
TOKEN = "a-token-for-this-test"
AUTHORIZED = {**JSON, "Authorization": f"Bearer {TOKEN}"}
READY_SECONDS = 600  # ends a failure; waiting ends when the server is ready or has stopped
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def bento(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bento")
    build_bento(bundle, folder, ServingSpec(max_rows=40, max_body_bytes=20_000))
    return folder


@pytest.fixture(scope="module")
def rows(bundle: Path) -> Rows:
    return golden_rows(bundle, Bundle.load(bundle).manifest)


@dataclass
class Server:
    """A server that is ready."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def predict(
        self, rows: Rows, headers: Mapping[str, str] = AUTHORIZED, path: str = "/predict"
    ) -> tuple[int, dict[str, Any]]:
        status, body = self.ask("POST", path, json.dumps({"instances": rows}).encode(), headers)
        return status, json.loads(body)


def environment(scratch: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "BENTOML_HOME": str(scratch / "home"), "BENTOML_DO_NOT_TRACK": "True", **variables}


def bentoml(scratch: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bentoml", *arguments]
    variables.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    return subprocess.run(
        command, cwd=scratch, env=environment(scratch, **variables), capture_output=True, text=True, timeout=300
    )


@contextmanager
def started(target: str, scratch: Path, *options: str, **variables: str) -> Iterator[Server]:
    """`bentoml serve`, ready."""
    command = [sys.executable, "-m", "bentoml", "serve", target, "--port", "0", *options]
    log = scratch / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=scratch, env=environment(scratch, **variables), stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + READY_SECONDS
        while not (found := re.search(r"^serving .* at http://127\.0\.0\.1:(\d+)$", log.read_text(), re.MULTILINE)):
            if time.monotonic() > end or process.poll() is not None:
                pytest.fail(f"the server does not become ready:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield Server(process, int(found[1]), log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


@pytest.fixture(scope="module")
def server(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scratch = tmp_path_factory.mktemp("server")
    moved = shutil.copytree(bento, scratch / "moved elsewhere")
    with started(str(moved), scratch, **{TOKEN_VARIABLE: TOKEN}) as one:
        yield one


def test_a_bento_proves_itself(bento: Path) -> None:
    before = set(bento.rglob("*"))
    report = check_bento(bento)
    assert (report["model"], report["rows"]) == ("sales-xgboost:v1", 20)
    assert report["largest_difference"] <= 1e-6
    assert set(bento.rglob("*")) == before


def test_what_is_no_bento_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no Bento"):
        check_bento(tmp_path)


def test_a_bento_holds_what_a_container_needs(bento: Path) -> None:
    for name in ("bento.yaml", "env/docker/Dockerfile", "env/python/requirements.txt", "src/service.py"):
        assert (bento / name).is_file(), name
    pins = (bento / "env" / "python" / "requirements.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    names = {pin.partition("==")[0] for pin in pins}
    assert names >= {"bentoml", "xgboost", "pyarrow", "uvicorn", "anyio"}, "those that these need are pinned too"
    assert not names & {"feast", "duckdb", "tensorflow", "kedro"}, "looking features up needs none of them"
    assert not any(file.is_symlink() for file in bento.rglob("*"))
    assert "\nUSER bentoml\n" in (bento / "env" / "docker" / "Dockerfile").read_text()


@pytest.mark.slow
def test_a_bento_runs_its_own_copy_of_the_code(bento: Path, tmp_path: Path) -> None:
    """Code that was written so from the start, for nobody changes it later: other scores are found out."""
    from proml_kedro.bundle.integrity import write_checksums

    copy = shutil.copytree(bento, tmp_path / "bento")
    file = copy / "src" / "proml_kedro" / "serving" / "scorer.py"
    file.write_text(file.read_text().replace("(columns).tolist()", "(columns).clip(0.4, 0.6).tolist()"))
    write_checksums(copy)
    with pytest.raises(IntegrityError, match="golden rows do not score as they did"):
        check_bento(copy)


def flipped(bento: Path, name: str, folder: Path, bit: int | None = None) -> Path:
    """A copy of which one bit of one file is another; the middle one if left out."""
    copy = shutil.copytree(bento, folder)
    content = bytearray((copy / name).read_bytes())
    bit = len(content) * 4 if bit is None else bit
    content[bit // 8] ^= 1 << bit % 8
    (copy / name).write_bytes(content)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bit"),
    [
        ("bento.yaml", None),
        ("src/service.py", None),
        ("src/serving.yaml", None),
        ("src/proml_kedro/__init__.py", None),
        ("src/bundle/components/trees/model.ubj", None),
        ("SHA256SUMS", 8 * 70),
    ],
)
def test_a_bento_with_one_wrong_bit_is_never_ready_and_names_the_file(
    bento: Path, tmp_path: Path, name: str, bit: int | None
) -> None:
    copy = flipped(bento, name, tmp_path / "bento", bit)
    begun = time.monotonic()
    done = bentoml(tmp_path, "serve", str(copy), "--port", "0")
    assert time.monotonic() - begun < 30
    assert done.returncode != 0
    assert Path(name).name in done.stderr
    assert "serving " not in done.stderr
    with pytest.raises(IntegrityError):
        check_bento(copy)


def test_each_file_of_a_bento_is_compared(bento: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(bento, tmp_path / "bento")
    draw = random.Random(3)
    files = [file for file in sorted(copy.rglob("*")) if file.is_file() and file.stat().st_size]
    assert len(files) > 200
    prove_whole(copy)
    for file in draw.sample(files, 12):
        content = file.read_bytes()
        wrong = bytearray(content)
        wrong[draw.randrange(len(wrong))] ^= 1 << draw.randrange(8)
        file.write_bytes(wrong)
        with pytest.raises(SystemExit) as ended:
            exit_unless_whole(copy)
        assert ended.value.code == 2
        assert file.name in capsys.readouterr().err
        file.write_bytes(content)
    prove_whole(copy)
    (copy / "src" / "__pycache__").mkdir()
    (copy / "src" / "__pycache__" / "service.cpython-311.pyc").touch()
    prove_whole(copy)
    (copy / "src" / "random.py").touch()
    with pytest.raises(IntegrityError, match=r"src/random\.py is not listed"):
        prove_whole(copy)


@pytest.mark.slow
def test_bentoml_lists_serves_and_containerizes_it(bento: Path, rows: Rows, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "sales"), "xztar", bento)
    assert bentoml(tmp_path, "import", archive).returncode == 0
    assert "sales-xgboost:v1" in bentoml(tmp_path, "list").stdout
    with started("sales-xgboost:v1", tmp_path, TOKEN_VARIABLE="") as server:
        assert server.predict(rows, JSON)[0] == 200
    script = (
        "import bentoml, os, sys; from pathlib import Path\n"
        "from bentoml._internal.container import construct_containerfile\n"
        "from proml_kedro.serving.whole import prove_whole\n"
        "with construct_containerfile(bentoml.get('sales-xgboost:v1')) as (folder, file):\n"
        "    os.environ['BENTOML_CONTAINERIZED'] = 'true'\n"
        "    assert Path(file).is_relative_to(folder)\n"
        "    prove_whole(Path(folder))\n"
        "    print('whole')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(tmp_path), capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "whole\n", done.stderr


@pytest.mark.slow
def test_a_bento_is_not_open_to_others_without_a_token(bento: Path, tmp_path: Path) -> None:
    for options, variables in ((["--host", "0.0.0.0"], {}), ([], {"BENTOML_CONTAINERIZED": "true"})):
        done = bentoml(tmp_path, "serve", str(bento), "--port", "0", *options, **{TOKEN_VARIABLE: "", **variables})
        assert done.returncode == 2
        assert f"set {TOKEN_VARIABLE} to a token" in done.stderr
    done = bentoml(tmp_path, "serve", str(bento), "--ssl-certfile", "cert.pem")
    assert done.returncode == 2
    assert "--ssl-certfile: is not for this Bento" in done.stderr


@pytest.mark.slow
def test_a_bento_runs_with_nothing_but_its_requirements(bento: Path, rows: Rows, tmp_path: Path) -> None:
    pins = (bento / "env" / "python" / "requirements.txt").read_text().split()
    (tmp_path / "sitecustomize.py").write_text(_ONLY_PINNED)
    allowed = json.dumps(sorted({pin.partition("==")[0].lower().replace("_", "-") for pin in pins}))
    shutil.copytree(bento, tmp_path / "bento")
    variables = {"PYTHONPATH": str(tmp_path), "ALLOWED": allowed, TOKEN_VARIABLE: ""}
    with started(str(tmp_path / "bento"), tmp_path, **variables) as server:
        assert server.ask("GET", "/metadata")[0] == 200
        assert server.predict(rows)[0] == 200 == 200
    assert "refuses to import" in server.log.read_text()


_ONLY_PINNED = """
import json, os, sys
from importlib.metadata import packages_distributions

allowed = set(json.loads(os.environ["ALLOWED"]))
normal = lambda name: name.lower().replace("_", "-")
known = {top: {normal(name) for name in names} for top, names in packages_distributions().items()}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        names = known.get(name.partition(".")[0])
        if names and not names & allowed and not name.startswith("proml_kedro"):
            raise ModuleNotFoundError(f"{name} is not among the requirements", name=name)


sys.path = [one for one in sys.path if not one.endswith("/src") or one.endswith("bento/src")]
sys.meta_path.insert(0, Refuse())
try:
    import duckdb
except ModuleNotFoundError:
    sys.stderr.write("it refuses to import what is not pinned\\n")
"""


def test_served_scores_are_the_stored_ones(server: Server, bundle: Path, rows: Rows) -> None:
    status, answer = server.predict(rows)
    assert status == 200
    expected = pq.read_table(bundle / "golden.parquet")["probability"].to_numpy()
    np.testing.assert_allclose(answer["probabilities"], expected, rtol=0, atol=1e-6)
    assert answer["model"] == "sales-xgboost:v1"


def test_limits_are_those_it_was_built_with(server: Server, rows: Rows) -> None:
    assert server.predict((rows * 3)[:40])[0] == 200
    assert server.predict((rows * 3)[:41])[0] == 422
    assert server.ask("POST", "/predict", b"x" * 25_000, AUTHORIZED)[0] == 413


def test_a_token_is_needed_except_for_probes(server: Server, rows: Rows) -> None:
    assert server.predict(rows, JSON)[0] == 401
    assert server.predict(rows, {**JSON, "Authorization": "Bearer wrong"})[0] == 401
    assert server.ask("GET", "/metadata")[0] == 401
    assert server.ask("GET", "/livez")[0] == 200
    assert server.ask("GET", "/readyz")[0] == 503, "there is no store that features could be looked up in"


def test_it_is_the_one_application(server: Server, bento: Path) -> None:
    described = json.loads(server.ask("GET", "/openapi.json", headers=AUTHORIZED)[1])
    written = yaml.safe_load((bento / "apis" / "openapi.yaml").read_text())
    assert described["paths"] == written["paths"]
    for number in range(50):
        assert server.ask("GET", f"/unknown/{number}", headers=AUTHORIZED)[0] == 404
    figures = server.ask("GET", "/metrics", headers=AUTHORIZED)[1].decode()
    assert "/unknown" not in figures
    assert "bentoml" not in figures


def listening(process: int) -> list[int]:
    """Ports that a process and its children listen at."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    inodes = set()
    for one in (process, *map(int, children)):
        for file in Path(f"/proc/{one}/fd").iterdir():
            inodes |= set(re.findall(r"^socket:\[(\d+)\]$", str(file.readlink())))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and parts[9] in inodes:
                found.add(int(parts[1].rpartition(":")[2], 16))
    return sorted(found)


def test_nothing_but_the_port_is_open(server: Server) -> None:
    assert listening(server.process.pid) == [server.port]


@pytest.mark.slow
def test_a_bento_ends_in_peace(bento: Path, rows: Rows, tmp_path: Path) -> None:
    with started(str(bento), tmp_path, PYTHONDONTWRITEBYTECODE="1") as server:
        assert server.predict(rows)[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
