"""Many columns: what they cost grows with their number, never with its square, and no value differs for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.engine.session import Session, connect
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.tables.statistics import column_statistics
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

HARDWARE = HardwareSpec(threads=1, memory="1GB")
ROWS = 90


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that a session plans."""
    seen: list[str] = []
    planning = Session._planning

    def noted(self: Session, query: str) -> Any:
        seen.append(query)
        return planning(self, query)

    monkeypatch.setattr(Session, "_planning", noted)
    return seen


def make(folder: Path, columns: int) -> pa.Table:
    """Read a table of so many columns and make its training set, which is returned."""
    values = np.random.default_rng(0).normal(size=(ROWS, columns))
    values[::7, ::3] = np.nan
    moments = np.datetime64("2024-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "D")
    own = {"k": np.arange(ROWS) % 5, "at": moments, "y": np.arange(ROWS) % 2 == 0}
    folder.mkdir()
    pq.write_table(pa.table({**own, **{f"c{one}": values[:, one] for one in range(columns)}}), folder / "wide.parquet")
    problem = ProblemSpec.model_validate(
        {
            "name": "wide",
            "tables": {"wide": {"source": "wide.parquet"}},
            "examples": {"table": "wide", "entities": ["k"], "timestamp": "at"},
            "label": {"expression": "y"},
            "split": {"validation_from": "2024-02-15", "test_from": "2024-03-15"},
        }
    )
    features = FeaturesSpec.model_validate(
        {"v": {"source": "request", "features": {f"c{one}": {"dtype": "float"} for one in range(columns)}}}
    )
    tables, target = folder / "tables", folder / "target"
    tables.mkdir()
    target.mkdir()
    read_tables(problem, features, folder, HARDWARE, tables)
    build_training_set(problem, features, features.columns(), tables, None, HARDWARE, target)
    made = pq.read_table(target / "training_set.parquet")
    for one in range(columns):
        cells = [None if np.isnan(cell) else cell for cell in values[:, one]]
        assert made[f"v.c{one}"].to_pylist() == cells
    shares = json.loads((target / "training_set.json").read_text())["null_share"]
    assert shares == {f"v.c{one}": float(np.isnan(values[:, one]).mean()) for one in range(columns)}
    return made


def test_queries_do_not_grow_in_number_with_columns(tmp_path: Path, queries: list[str]) -> None:
    make(tmp_path / "few", 4)
    few = len(queries)
    queries.clear()
    make(tmp_path / "many", 60)
    assert len(queries) == few


@pytest.mark.slow
def test_two_thousand_columns_have_their_values(tmp_path: Path, queries: list[str]) -> None:
    make(tmp_path / "wide", 2000)
    assert not any("* REPLACE" in one for one in queries if len(one) > 10_000)


def test_not_a_number_of_a_derived_column_is_missing_in_a_request_feature(tmp_path: Path) -> None:
    """Columns of a source were read without it; those that are derived from them may have it again."""
    moments = np.datetime64("2024-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "D")
    own = {"k": np.arange(ROWS) % 5, "at": moments, "y": np.arange(ROWS) % 2 == 0, "x": np.arange(ROWS) % 3 * 1.0}
    pq.write_table(pa.table({**own, "n": np.where(own["x"] > 0, own["x"], np.nan)}), tmp_path / "t.parquet")
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": {"source": "t.parquet", "columns": {"r": "x / x", "n": "n / x"}}},
            "examples": {"table": "t", "entities": ["k"], "timestamp": "at"},
            "label": {"expression": "y"},
            "split": {"validation_from": "2024-02-15", "test_from": "2024-03-15"},
        }
    )
    features = {name: {"dtype": "float"} for name in ("r", "n", "x")} | {"R2": {"dtype": "float", "expression": "r"}}
    spec = FeaturesSpec.model_validate({"v": {"source": "request", "features": features}})
    for name in ("tables", "target"):
        (tmp_path / name).mkdir()
    read_tables(problem, spec, tmp_path, HARDWARE, tmp_path / "tables")
    build_training_set(problem, spec, spec.columns(), tmp_path / "tables", None, HARDWARE, tmp_path / "target")
    made = pq.read_table(tmp_path / "target" / "training_set.parquet")
    expected = [None if not x else 1.0 for x in own["x"]]
    assert [made[f"v.{name}"].to_pylist() for name in ("r", "n", "R2")] == [expected] * 3
    assert made["v.x"].to_pylist() == own["x"].tolist()


def test_a_long_query_is_planned_without_what_is_quadratic_and_a_short_one_with_it(tmp_path: Path) -> None:
    setting = "current_setting('disabled_optimizers')"
    with connect(HARDWARE, tmp_path) as session:
        session.disable("top_n")
        (long,) = session.row(f"SELECT {setting} /* {'x' * 100_000} */")
        assert set(long.split(",")) == {"top_n", "common_subexpressions", "statistics_propagation"}
        assert session.row(f"SELECT {setting}") == ("top_n",)


def test_columns_are_replaced_whatever_their_case_and_order_and_names_stay(tmp_path: Path) -> None:
    with connect(HARDWARE, tmp_path) as session:
        rows = session.relation('(SELECT 1 AS "A b", 2 AS c, 3 AS d)').replace({"C": "c + 0.5", "a B": "'x'"})
        assert session.records(f"FROM {rows}") == [{"A b": "x", "c": 2.5, "d": 3}]
        assert rows.schema == session.columns(f"FROM {rows}")


def test_statistics_tell_nulls_and_leave_out_lists(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None, 3], "n": pa.nulls(3, pa.float64()), "v": [[1.0], None, [2.0]]})
    pq.write_table(table, tmp_path / "one.parquet", row_group_size=2)
    found = column_statistics(tmp_path / "one.parquet")
    assert {name: (one.nulls, set(one.bounds)) for name, one in found.items()} == {"a": (1, {1, 3}), "n": (3, set())}
