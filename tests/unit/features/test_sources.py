"""Sources that change while they are read, and digests of large ones that are remembered."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from proml_kedro.artifacts import ArtifactStore
from proml_kedro.errors import UserError
from proml_kedro.features.tables import files, read
from proml_kedro.results.names import table_file
from proml_kedro.spec import RunSpec
from proml_kedro.workflow import Run
from proml_kedro.workflow.steps import ingest_tables
from small import make_config

VISITS = "shop,visited_at,amount\n1,2024-01-02,5\n2,2024-02-02,{}\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config: dict[str, Any] = make_config()
    config["problem"]["tables"] = {"visits": {"source": "visits.csv"}}
    (tmp_path / "visits.csv").write_text(VISITS.format(1))
    return Run.of(RunSpec.model_validate({**config, "data_dir": "data"}), tmp_path)


def while_read(monkeypatch: pytest.MonkeyPatch, change: Callable[[int], None]) -> list[int]:
    """Do something just before each time that the tables are read; returns the number of each time."""
    whole, times = read.read_tables, []

    def changing(*arguments: Any) -> None:
        times.append(len(times))
        change(times[-1])
        whole(*arguments)

    monkeypatch.setattr(read, "read_tables", changing)
    return times


def amounts(run: Run) -> list[int]:
    found: list[int] = pq.read_table(table_file(ingest_tables(run).path, "visits"))["amount"].to_pylist()
    return found


def test_a_source_that_is_replaced_while_it_is_read_is_read_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = run.base_path / "visits.csv"
    times = while_read(monkeypatch, lambda time: file.write_text(VISITS.format(7)) and None if time == 0 else None)
    assert amounts(run) == [5, 7]
    assert times == [0, 1]
    assert "the source of 'visits' changed while it was read; it is read again" in caplog.text
    file.write_text(VISITS.format(1))
    assert amounts(run) == [5, 1], "nothing is kept under the digest of what was there before"
    assert times == [0, 1, 2]
    assert not list((run.store.data_dir / "store").rglob(".*"))


def test_half_a_file_is_no_mistake_of_the_user(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    file = run.base_path / "visits.csv"
    times = while_read(
        monkeypatch, lambda time: file.write_text("shop,visi" if time == 0 else VISITS.format(3)) and None
    )
    assert amounts(run) == [5, 3]
    assert times == [0, 1, 2], "it changed twice"


def test_a_source_that_changes_each_time_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    while_read(monkeypatch, lambda time: (run.base_path / "visits.csv").write_text(VISITS.format(time + 2)) and None)
    with pytest.raises(UserError, match="'visits' changed each time it was read; run again when nobody writes it"):
        ingest_tables(run)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests are remembered, of files of any size, however young."""
    monkeypatch.setattr(files, "_LARGE", 0)
    monkeypatch.setattr(files, "_SETTLED", -(10**12))
    return tmp_path / "store" / "sources.json"


def test_a_large_file_is_read_once_and_again_when_it_changed(tmp_path: Path, memory: Path) -> None:
    file, size = tmp_path / "large.csv", 1000
    file.write_bytes(b"a" * size)
    with files.remembering(memory):
        first = files.fingerprint_of([file])
    assert len(memory.read_text()) > 64
    with files.remembering(memory):
        assert files.fingerprint_of([file]) == first
    assert files.fingerprint_of([file]) == first, "without a memory it is read"
    state = file.stat()
    (tmp_path / "new").write_bytes(b"b" * size)
    (tmp_path / "new").replace(file)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    with files.remembering(memory):
        assert files.fingerprint_of([file]) != first, "of equal size and date, and yet another one"


@pytest.mark.parametrize("damage", ["", "[]", '{"x": 1}'])
def test_a_damaged_memory_is_none(tmp_path: Path, memory: Path, damage: str) -> None:
    file = tmp_path / "large.csv"
    file.write_bytes(b"a" * 1000)
    memory.parent.mkdir()
    memory.write_text(damage)
    with files.remembering(memory):
        assert files.fingerprint_of([file]) == files.fingerprint_of([file])


def test_what_is_remembered_is_taken(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "large.csv"
    file.write_bytes(b"a" * 1000)
    with files.remembering(memory):
        first = files.fingerprint_of([file])
    monkeypatch.setattr(files.hashlib, "file_digest", None)
    with files.remembering(memory):
        assert files.fingerprint_of([file]) == first


def test_the_store_is_not_needed(run: Run) -> None:
    assert isinstance(run.store, ArtifactStore)
    assert amounts(run) == [5, 1]
    assert not (run.store.data_dir / "store" / "sources.json").exists(), "small files are read each time"
