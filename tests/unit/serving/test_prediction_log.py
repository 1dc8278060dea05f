"""The prediction log: what was answered is in it once, whatever happens, in files that are whole at any moment."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from proml_kedro.features.online.lookup import Found
from proml_kedro.serving import prediction_log
from proml_kedro.serving.http.application import Options, make_application
from proml_kedro.serving.log_records import LogColumns, Record
from proml_kedro.serving.prediction_log import PredictionLog, open_log
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec import PredictionLogSpec
from proml_kedro.spec.outputs import OF_CLASSES
from small import make_bundle

SMALL = LogColumns("m:1", False, {"shop": "int"}, {"a": "float"}, {"trees.margin": "float"}, {})


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> BundleScorer:
    return BundleScorer(make_bundle(tmp_path_factory.mktemp("logged")))


@contextmanager
def logging(scorer: BundleScorer, folder: Path, **spec: Any) -> Iterator[TestClient]:
    log = open_log(PredictionLogSpec(folder=str(folder), **spec), scorer.bundle)
    options = Options(log=log)
    with TestClient(make_application(scorer, scorer.bundle.manifest.serving, options)) as client:
        yield client
    log.close()


def read(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("predictions-*.parquet"))])


def record(name: str, rows: int = 1) -> Record:
    values = np.arange(rows, dtype=np.float64)
    scored = {"scores": values.tolist(), "features": {"a": values}, "components": {"trees.margin": -values}}
    return Record(name, datetime.now(UTC), 200, [{"shop": one} for one in range(rows)], missing=[0] * rows, **scored)


def test_columns_and_values(scorer: BundleScorer, tmp_path: Path) -> None:
    rows = golden_rows(scorer.bundle.path, scorer.bundle.manifest)[:3]
    rows[0] = {**rows[0], "visit.price": None, "visit.shop": 7}
    before = datetime.now(UTC)
    with logging(scorer, tmp_path / "log") as client:
        answer = client.post("/predict", json={"instances": rows}, headers={"X-Request-Id": "mine-1"})
        other = client.post("/predict", json={"instances": rows[:1]})
        assert client.post("/predict", json={"instances": [{}]}).status_code == 422
        assert answer.headers["x-request-id"] == "mine-1"
    table = read(tmp_path / "log")
    inputs = [one.name for one in scorer.bundle.inputs]
    assert table.column_names == [
        "request_id", "row", "received_at", "as_of", "bundle", "answered", "status", "score", "keys.shop",
        *(f"features.{name}" for name in inputs),
        "components.trees.margin", "components.trees.probability", "missing", "seconds", "degraded",
    ]  # fmt: skip
    logged = table.to_pylist()
    assert [one["request_id"] for one in logged] == ["mine-1"] * 3 + [other.headers["x-request-id"]]
    assert [one["row"] for one in logged] == [0, 1, 2, 0]
    assert [one["score"] for one in logged[:3]] == answer.json()["probabilities"]
    assert [one["missing"] for one in logged[:3]] == answer.json()["missing"]
    assert {one["bundle"] for one in logged} == {scorer.bundle.manifest.tag}
    assert all(one["status"] == 200 and one["degraded"] == [] for one in logged)
    assert all(before <= one["received_at"] == one["as_of"] <= datetime.now(UTC) for one in logged)
    assert all(0 <= one["seconds"] <= (datetime.now(UTC) - before).total_seconds() for one in logged)
    assert logged[0]["keys.shop"] == 7
    for sent, one in zip(rows, logged, strict=False):
        assert {name: sent[name] for name in inputs} == {name: one[f"features.{name}"] for name in inputs}
        assert one["components.trees.probability"] == one["score"]
        assert 1 / (1 + np.exp(-one["components.trees.margin"])) == pytest.approx(one["score"], abs=1e-12)
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "log").iterdir())


class Reader:
    """Stands where the online store's reader does."""

    def find(self, keys: list[dict[str, Any]], moments: list[datetime]) -> Found:
        if keys[0]["shop"] == 13:
            raise OSError("gone")
        nothing = np.zeros(len(keys), np.int64)
        ones = np.ones(len(keys))
        return Found({"traffic.visits_3h": ones, "traffic.visits_all": 5 * ones}, nothing, nothing, nothing)


def test_what_was_looked_up_and_what_could_not_be(scorer: BundleScorer, tmp_path: Path) -> None:
    moment = datetime(2024, 3, 5, 10, 0, 0, 123456, UTC)
    asked = {"shop": 4, "visit.city": "Oslo", "visit.price": 20.5, "visit.items": 2, "visit.member": True}
    scorer.online._reader = Reader()
    try:
        with logging(scorer, tmp_path) as client:
            for row, status in (({**asked, "timestamp": moment.isoformat()}, 200), ({**asked, "shop": 13}, 503)):
                assert client.post("/predict_online", json={"instances": [row]}).status_code == status
    finally:
        scorer.online._reader = None
    found, gone = read(tmp_path).to_pylist()
    assert (found["keys.shop"], found["as_of"], found["features.traffic.visits_all"]) == (4, moment, 5)
    assert (found["features.visit.city"], found["features.visit.member"]) == ("Oslo", 1.0)
    assert (gone["keys.shop"], gone["status"], gone["score"], gone["missing"]) == (13, 503, None, None)


def test_readers_see_whole_files_and_each_row_once(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, SMALL, timedelta(milliseconds=20), None)
    seen: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            files = sorted(tmp_path.glob("predictions-*.parquet"))
            seen.append(sum(pq.read_table(file).num_rows for file in files))
            time.sleep(0.01)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(150):
        log.write(record(str(number), rows=2))
        time.sleep(0.001)
    log.close()
    is_over.set()
    reader.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    table = read(tmp_path)
    assert table["request_id"].to_pylist() == [str(number) for number in range(150) for _ in range(2)]
    assert not list(tmp_path.glob(".*"))


def test_a_spool_of_a_process_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    """Its columns and its bundle are its own, and its last record may be half of one."""
    dead = PredictionLog(tmp_path, SMALL, timedelta(hours=1), None)
    dead.write(record("one"))
    dead.write(record("two"))
    path, handle = dead._spool or (Path(), 0)
    os.write(handle, b'{"request_id": "thr')
    dead._spool = None
    other = LogColumns("m:2", True, {}, {}, {}, {})
    living = PredictionLog(tmp_path, other, timedelta(hours=1), None)
    living._turn()
    assert path.exists(), "its process lives"
    os.close(handle)
    living._turn()
    assert not path.exists()
    table = read(tmp_path)
    assert table["request_id"].to_pylist() == ["one", "two"]
    assert set(table["bundle"].to_pylist()) == {"m:1"}
    (tmp_path / ".spool-1-x").write_bytes(b'{"tag": "m:')  # killed at its head
    living._turn()
    assert not list(tmp_path.glob(".spool*"))
    for log in (living, dead):
        log.close()


def test_what_a_full_disk_loses_is_counted_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = PredictionLog(tmp_path, SMALL, timedelta(hours=1), None)
    lost: list[int] = []
    log.on_loss = lost.append
    real = os.write
    is_full = False

    def write(handle: int, content: bytes) -> int:
        return real(handle, content[: len(content) // 2] if is_full else content)

    monkeypatch.setattr(prediction_log.os, "write", write)
    for name in ("a", "b", "c", "d"):
        is_full = name in ("a", "c")
        log.write(record(name, rows=3))
    log.close()
    assert lost == [3, 3]
    assert read(tmp_path)["request_id"].to_pylist() == ["b"] * 3 + ["d"] * 3


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spools that cannot become Parquet, since the disk is full, grow to a limit."""
    monkeypatch.setattr(prediction_log, "_MOST_BYTES", 20_000)
    log = PredictionLog(tmp_path, SMALL, timedelta(hours=1), None)
    lost: list[int] = []
    log.on_loss = lost.append
    monkeypatch.setattr(prediction_log, "_fsync", lambda folder: (_ for _ in ()).throw(OSError(28, "full")))
    for number in range(300):
        log.write(record(str(number)))
        if number % 50 == 0:
            with pytest.raises(OSError, match="full"):
                log._turn()
    assert sum(file.stat().st_size for file in tmp_path.glob(".spool-*")) <= 20_000
    monkeypatch.undo()
    log.close()
    kept = read(tmp_path)["request_id"].to_pylist()
    assert len(kept) == len(set(kept)) == 300 - len(lost)
    assert 0 < len(lost) < 300


def test_old_files_are_removed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, SMALL, timedelta(hours=1), timedelta(days=2))
    for age in (1, 3):
        log.write(record(str(age)))
        log._turn()
        file = max(tmp_path.glob("predictions-*.parquet"), key=lambda one: one.name)
        os.utime(file, (time.time() - 86400 * age,) * 2)
    log._turn()
    assert read(tmp_path)["request_id"].to_pylist() == ["1"]
    log.close()


def test_keys_that_are_none_and_classes(tmp_path: Path) -> None:
    features, given = {"v": "vector[2]", "t": "str"}, {"m.probabilities": OF_CLASSES}
    columns = LogColumns("m:1", True, {"shop": "int", "who": "str"}, features, given, {"shop": "v.shop"})
    assert columns.key("shop", {"v.shop": 3e38}) is None
    assert columns.key("shop", {"shop": None}) is None
    assert columns.key("who", {"who": 5}) == "5"
    made = {"v": np.array([[1, np.nan]]), "t": np.array([None], object)}
    said = {"m.probabilities": np.array([[0.25, 0.75]])}
    one = Record("x", datetime.now(UTC), 200, [{"v.shop": 3.0}], [[0.25, 0.75]], made, said, [1])
    log = PredictionLog(tmp_path, columns, timedelta(hours=1), None)
    log.write(one)
    log.close()
    (row,) = read(tmp_path).to_pylist()
    assert (row["keys.shop"], row["keys.who"], row["score"], row["features.v"]) == (3, None, [0.25, 0.75], [1.0, None])
    assert row["components.m.probabilities"] == [0.25, 0.75]
    assert json.loads(columns.head())["tag"] == "m:1"


def test_a_spool_that_no_column_can_hold_does_not_keep_others_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = PredictionLog(tmp_path, SMALL, timedelta(hours=1), None)
    log.write(replace(record("odd"), scores=[[1.0, 2.0]]))
    log._turn()
    log.write(record("good"))
    log.close()
    assert read(tmp_path)["request_id"].to_pylist() == ["good"]
    (aside,) = tmp_path.glob(".unreadable-*")
    assert b"odd" in aside.read_bytes()
    assert "cannot become Parquet" in caplog.text
