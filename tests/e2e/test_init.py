"""A stranger's three tables to a served model: three commands and one edit."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kedro_process import run_kedro
from proml_kedro.bundle import Bundle
from proml_kedro.serving.guard import TOKEN_VARIABLE
from proml_kedro.serving.prove import golden_rows
from strangers import Dialect, Stranger

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROGRAMS = Path(sys.executable).parent
START, CUSTOMERS, VISITS = datetime(2024, 1, 1), 150, 3000
TOKEN = "a-token-for-this-test"


def strangers() -> dict[str, Stranger]:
    """Visits with decimal commas and days first, orders whose days and months nothing tells apart, and customers."""
    chance = random.Random(0)
    keen = [chance.gauss(0, 1.5) for _ in range(CUSTOMERS)]
    minutes = sorted(chance.randrange(360 * 1440) for _ in range(VISITS))
    who = [chance.randrange(CUSTOMERS) for _ in range(VISITS)]
    sizes = [chance.choice(["Größe M", "Größe L", "小"]) for _ in range(VISITS)]
    margin = [keen[one] + (size == "小") for one, size in zip(who, sizes, strict=True)]
    bought = [chance.random() < 1 / (1 + 2.718**-one) for one in margin]
    at = [START + timedelta(minutes=one) for one in minutes]
    visits = {
        "Kunden-Nr.": [f"{one:05d}" for one in who],
        "Zeit": [one.strftime("%d/%m/%Y %H:%M") for one in at],
        "Größe": sizes,
        "Warenkorb": [round(chance.uniform(5, 2000), 2) for _ in range(VISITS)],
        "Gekauft": ["ja" if one else "nein" for one in bought],
    }
    orders = [
        (str(number), (one + timedelta(minutes=9)).replace(day=1 + one.day % 12), round(chance.uniform(5, 90), 2))
        for number, one, ordered in zip(who, at, bought, strict=True)
        if ordered
    ]
    chance.shuffle(orders)
    people = {
        "id": [f"{one:05d}" for one in range(CUSTOMERS)],
        "Ort": [chance.choice(["Zürich", "Łódź", "Köln"]) for _ in range(CUSTOMERS)],
        "geboren": [f"{chance.randint(13, 28)}.{chance.randint(1, 12):02d}.1980" for _ in range(CUSTOMERS)],
    }
    return {
        "besuche": Stranger(visits, Dialect(";", ",", encoding="utf-16")),
        "orders": Stranger(
            {
                "kunde": [one for one, _, _ in orders],
                "at": [one.strftime("%m-%d-%Y %H:%M") for _, one, _ in orders],
                "amount": [one for _, _, one in orders],
            }
        ),
        "kunden": Stranger(people, Dialect("\t")),
    }


def ask(port: int, path: str, body: object = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def test_three_tables_of_a_stranger_to_a_served_model(tmp_path: Path) -> None:
    files = [one.write(tmp_path / f"{name}.csv").name for name, one in strangers().items()]
    environment = {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("KEDRO_LOGGING_CONFIG", None)

    first = ["proml_kedro", "init", *files, "--label", "Gekauft", "--name", "laden"]
    init = subprocess.run(first, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, stdin=None)
    folder = tmp_path / "laden"
    problem = folder / "conf" / "problem" / "laden.yaml"
    assert init.returncode == 2, init.stdout
    assert "can be read in 2 ways" in init.stderr

    line = '# date_format: {at: "%m-%d-%Y %H:%M"}'
    assert problem.read_text().count(line) == 1
    problem.write_text(problem.read_text().replace(line, line.removeprefix("# ")))

    run = run_kedro(["run", "--pipelines=features,train,evaluate,bundle,package"], folder, timeout=1200)
    assert run.returncode == 0, run.stderr
    results = folder / "data" / "laden" / "xgboost"
    auc = json.loads((results / "evaluation" / "metrics.json").read_text())["candidate"]["auc"]
    assert 0.6 < auc < 0.95, "it learns, and not from what is known afterwards"

    bundle = Bundle.load(results / "bundle")
    inputs = {one.name for one in bundle.manifest.rows.inputs}
    assert {"besuche.groesse", "besuche.Warenkorb", "orders.amount_all", "kunden.Ort"} <= inputs
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [sys.executable, "-m", "bentoml", "serve", str((results / "bento").resolve()), "--port", str(port)]
    environment |= {TOKEN_VARIABLE: TOKEN, "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(serve, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 600
        while ask(port, "/livez")[0] != 200:  # it is not ready: no store is filled here
            assert server.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
            assert time.monotonic() < end
            time.sleep(0.3)
        rows = golden_rows(results / "bundle", bundle.manifest)
        status, body = ask(port, "/predict", {"instances": rows})
        assert status == 200, body
        expected = pq.read_table(results / "bundle" / "golden.parquet")["probability"].to_numpy()
        np.testing.assert_allclose(json.loads(body)["probabilities"], expected, rtol=0, atol=1e-6)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
