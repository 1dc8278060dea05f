"""`kedro run hardware=spark` on generated searches for jobs: the same training set, kept apart, and it says who."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROBLEM = ["problem=job_recommendations", "problem.generator.lists=3000", "problem.generator.members=500"]


def _run(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: what loads Sail cannot be forked from one that has loaded everything else.
    command = [BIN / "kedro", "run", "--pipelines=features", f"data_dir={data}", *PROBLEM, *arguments]
    variables = {**os.environ, "SPARK_REMOTE": "", **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine") / "data"


@pytest.fixture(scope="module")
def by_duckdb(data: Path) -> Path:
    done = _run(data)
    assert done.returncode == 0, done.stderr
    return _training_set(data)


@pytest.fixture(scope="module")
def by_sail(data: Path, by_duckdb: Path) -> subprocess.CompletedProcess[str]:
    done = _run(data, "hardware=spark")
    assert done.returncode == 0, done.stderr
    return done


def _training_set(data: Path) -> Path:
    (file,) = (data / "job_recommendations").glob("*/training_set/training_set.parquet")
    return file.resolve()


def test_the_training_set_is_the_same_and_another_result(
    data: Path, by_duckdb: Path, by_sail: subprocess.CompletedProcess[str]
) -> None:
    found = _training_set(data)
    assert found != by_duckdb
    first, second = pq.read_table(by_duckdb), pq.read_table(found)
    assert first.schema.equals(second.schema)
    assert first.num_rows > 10_000
    assert first.equals(second)  # counts, shares and columns alone, which are exact


def test_it_is_said_what_ran_where(by_sail: subprocess.CompletedProcess[str]) -> None:
    assert "tables: unchanged, taken over" in by_sail.stderr
    assert "by Sail 0.7" in by_sail.stderr
    said = "Feature tables and joins in time: by Sail in this process; tables, examples and all else: by this process"
    assert said in by_sail.stdout


def test_it_is_taken_over(data: Path, by_sail: subprocess.CompletedProcess[str]) -> None:
    again = _run(data, "hardware=spark")
    for name in ("feature_tables", "training_set"):
        assert f"{name}: unchanged, taken over" in again.stderr


def test_what_is_not_carried_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    done = _run(tmp_path / "data", "hardware=spark", "features.member_activity.features.shown.agg=std")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert "features.member_activity.features.shown" in line
    assert not (tmp_path / "data" / "store").exists()


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = _run(tmp_path / "data", "hardware=spark", SPARK_REMOTE="sc://127.0.0.1:1")
    assert done.returncode == 2
    assert "SPARK_REMOTE: nothing answers at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
