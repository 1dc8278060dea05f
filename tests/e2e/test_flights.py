"""The whole loop on 336,776 real flights: how good, how large, and served as it was scored."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
EVERYTHING = "--pipelines=features,train,evaluate,bundle,monitor,materialize,package"


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    """The data folder of a whole run, and what the run printed."""
    data = tmp_path_factory.mktemp("flights") / "data"
    done = subprocess.run(
        [BIN / "kedro", "run", EVERYTHING, f"data_dir={data}"], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return data, done.stdout


@pytest.fixture(scope="module")
def result(flights):
    return lambda name: flights[0] / "flight_delays" / "xgboost" / name


def test_it_is_as_good_as_the_reference(result):
    metrics = json.loads((result("evaluation") / "metrics.json").read_text())
    assert metrics["rows"] == 82_609
    assert metrics["candidate"]["auc"] >= 0.728
    assert metrics["candidate"]["logloss"] <= 0.462
    assert metrics["cluster_by"] == "day"
    assert metrics["clusters"] == 92
    assert metrics["differences"]["logloss"]["high"] < 0, "no better than the baseline"


def test_no_row_is_lost(result):
    table = pq.read_table(result("training_set") / "training_set.parquet", columns=["example_id", "split"])
    assert table.num_rows == 327_346
    assert len(pc.unique(table["example_id"])) == 327_346
    counts = {one["values"]: one["counts"] for one in pc.value_counts(table["split"]).to_pylist()}
    assert counts == {"train": 217_727, "validation": 27_010, "test": 82_609}


def test_the_model_takes_no_more_than_25_lines():
    lines = (ROOT / "conf" / "model" / "xgboost.yaml").read_text().splitlines()
    assert len(lines) <= 25


def test_the_run_stays_below_3_gb(flights):
    amount, unit = re.search(r"peak memory ([\d.]+) (MB|GB)", flights[1]).groups()
    assert float(amount) * {"MB": 1e6, "GB": 1e9}[unit] < 3e9


def test_the_last_week_looks_like_those_before(result):
    assert json.loads((result("drift") / "drift.json").read_text())["verdict"] in ("ok", "warn")


@contextmanager
def served(bento, log):
    """The address of the Bento, served in a process group of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen(
            [BIN / "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(300)


def _wait_until_ready(address, process, seconds=600):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server stopped"
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=60):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.3)
    pytest.fail("the server was not ready in time")


def post(address, body):
    request = urllib.request.Request(
        address, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as response:
        return json.load(response)


def test_the_endpoint_scores_as_the_run_did(result, tmp_path):
    """Raw values: the golden rows. Keys: the newest examples, whose features are what the online store holds."""
    manifest = yaml.safe_load((result("bundle") / "proml.yaml").read_text())
    inputs = [one["name"] for one in manifest["schema"]["inputs"]]
    golden = pq.read_table(result("bundle") / "golden.parquet")
    table = pq.read_table(result("training_set") / "training_set.parquet")
    newest = table.filter(pc.equal(table["event_timestamp"], pc.max(table["event_timestamp"])))
    assert newest.num_rows > 0
    with served(result("bento").resolve(), tmp_path / "log") as address:
        rows = golden.select(inputs).to_pylist()
        scores = post(f"{address}/predict", {"instances": rows})["probabilities"]
        raw = post(f"{address}/predict", {"instances": newest.select(inputs).to_pylist()})["probabilities"]
        keys = ["tailnum", "carrier", "origin", "dest", *(name for name in inputs if name.startswith("flight."))]
        moments = [moment.isoformat() for moment in newest["event_timestamp"].to_pylist()]
        by_key = [{**row, "timestamp": at} for row, at in zip(newest.select(keys).to_pylist(), moments, strict=True)]
        looked_up = post(f"{address}/predict_online", {"instances": by_key})["probabilities"]
        example = json.loads((ROOT / "docs" / "how-to" / "flight.json").read_text())
        assert 0 < post(f"{address}/predict_online", example)["probabilities"][0] < 1
    expected = golden["probability"].to_pylist()
    assert max(abs(one - other) for one, other in zip(scores, expected, strict=True)) <= 1e-6
    assert max(abs(one - other) for one, other in zip(looked_up, raw, strict=True)) <= 1e-6


def test_a_repeated_run_computes_nothing(flights):
    again = subprocess.run(
        [BIN / "kedro", "run", f"data_dir={flights[0]}"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stderr
    assert "computing" not in again.stderr
    assert "auc" in again.stdout
