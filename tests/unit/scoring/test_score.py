"""Scores of whole tables: equal to a bundle's own, of any size, gone on with after a kill, refused in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from proml_kedro.bundle import Bundle
from proml_kedro.errors import UserError
from proml_kedro.scoring import score
from proml_kedro.scoring.job import ScoringJob
from proml_kedro.spec.hardware import HardwareSpec
from small import make_bundle

HARDWARE = HardwareSpec(threads=1, memory="300MB")
NAMES = {"visit.shop": "shop", "visit.city": "city", "visit.price": "price", "visit.items": "items"}


class Stored:
    """No results of runs."""

    def table(self, name: str) -> Path:
        raise AssertionError(name)

    def feature_tables(self) -> Path:
        raise AssertionError("nothing is looked up")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def raw(bundle: Path) -> pa.Table:
    """The examples' own columns, and those of a view by their full names."""
    rows = pq.read_table(bundle.parent / "training_set.parquet")
    columns = {raw: rows[name] for name, raw in NAMES.items()} | {"member": rows["visit.member"]}
    columns |= {"visited_at": rows["timestamp"]}
    columns |= {name: rows[name] for name in ("traffic.visits_3h", "traffic.visits_all")}
    return pa.table(columns)


@pytest.fixture(scope="module")
def expected(bundle: Path) -> np.ndarray[Any, Any]:
    return Bundle.load(bundle).score_frame(pq.read_table(bundle.parent / "training_set.parquet"))


def job(bundle: Path, file: Path, output: Path) -> ScoringJob:
    return ScoringJob(bundle, str(file), output, file.parent, Stored(), HARDWARE)


def run(bundle: Path, file: Path, output: Path) -> tuple[Any, list[str], list[str]]:
    told: list[str] = []
    summary = score.score_table(job(bundle, file, output), told.append)
    return (pq.read_table(output) if output.suffix == ".parquet" else pc.read_csv(output)), list(summary.lines()), told


def write(table: pa.Table, file: Path) -> Path:
    if file.suffix == ".csv":
        pc.write_csv(table, file)
    elif file.suffix == ".jsonl":
        rows = table.set_column(5, "visited_at", table["visited_at"].cast(pa.string())).to_pylist()
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(table, file, row_group_size=400)
    return file


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_raw_features_score_as_the_bundle_does(
    bundle: Path, raw: pa.Table, expected: np.ndarray[Any, Any], tmp_path: Path, suffix: str
) -> None:
    found, lines, told = run(bundle, write(raw, tmp_path / f"rows{suffix}"), tmp_path / "out.parquet")
    assert found.column_names == ["row", "shop", "timestamp", "score"]
    assert found["row"].to_pylist() == list(range(len(raw)))
    assert found["shop"].to_pylist() == raw["shop"].to_pylist()
    assert found["timestamp"].to_pylist() == raw["visited_at"].to_pylist()
    assert np.abs(found["score"].to_numpy() - expected).max() < 1e-9
    assert lines[0].startswith("1,500 rows scored by sales-xgboost:v1 into ")
    assert lines[1] == "inputs: 2 as columns of their names, 5 computed from columns"
    missing = raw["price"].null_count
    assert f"visit.price {missing:,} ({missing / 1500:.2%})" in lines[2]
    assert not told
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.parquet", f"rows{suffix}"]


def test_csv_out(bundle: Path, raw: pa.Table, expected: np.ndarray[Any, Any], tmp_path: Path) -> None:
    found, _, _ = run(bundle, write(raw, tmp_path / "rows.parquet"), tmp_path / "out.csv")
    assert np.abs(found["score"].to_numpy() - expected).max() < 1e-12


def test_columns_of_the_inputs_own_names(bundle: Path, expected: np.ndarray[Any, Any], tmp_path: Path) -> None:
    file = bundle.parent / "training_set.parquet"
    found, lines, _ = run(bundle, file, tmp_path / "out.parquet")
    assert np.abs(found["score"].to_numpy() - expected).max() < 1e-9
    assert lines[1] == "inputs: 7 as columns of their names"
    assert lines[-1] == "columns that the model does not read: example_id, timestamp, event_timestamp, split, label"


def test_an_empty_csv_gives_a_file_without_rows(bundle: Path, raw: pa.Table, tmp_path: Path) -> None:
    found, lines, _ = run(bundle, write(raw.slice(0, 0), tmp_path / "rows.csv"), tmp_path / "out.parquet")
    assert found.num_rows == 0
    assert lines[0].startswith("0 rows scored by")


def test_no_rows_give_a_file_without_rows(bundle: Path, raw: pa.Table, tmp_path: Path) -> None:
    found, lines, _ = run(bundle, write(raw.slice(0, 0), tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    assert found.num_rows == 0
    assert found.column_names == ["row", "shop", "timestamp", "score"]
    assert lines[0].startswith("0 rows scored")


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rows in (("SCORED_ROWS", 100), ("JOINED_ROWS", 200), ("PART_ROWS", 400)):
        monkeypatch.setattr(score, name, rows)


def stop_after(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Let scoring be interrupted once so many rows were scored."""
    done, own = [0], Bundle.score

    def interrupted(self: Bundle, columns: Any) -> Any:
        done[0] += len(next(iter(columns.values())))
        if done[0] > rows:
            raise KeyboardInterrupt
        return own(self, columns)

    monkeypatch.setattr(Bundle, "score", interrupted)


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_an_interrupted_run_is_gone_on_with(
    bundle: Path,
    raw: pa.Table,
    expected: np.ndarray[Any, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    file = write(raw, tmp_path / f"rows{suffix}")
    whole, lines, _ = run(bundle, file, tmp_path / "whole.parquet")
    assert np.array_equal(whole["score"].to_numpy(), expected), "parts are put together in order"
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        stop_after(patch, 20 + 950)  # golden rows are scored too
        with pytest.raises(KeyboardInterrupt):
            run(bundle, file, output)
    assert not output.exists()
    found, again, told = run(bundle, file, output)
    assert [line for line in told if "going on from row" in line]
    assert found.equals(whole), "what was kept and what is new are one file"
    assert again[1:] == lines[1:], "all rows are counted"
    assert not (tmp_path / ".out.parquet.parts").exists()


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("what", ["input", "part"])
def test_what_has_changed_since_is_not_gone_on_with(
    bundle: Path, raw: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    file, output = write(raw, tmp_path / "rows.parquet"), tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        stop_after(patch, 20 + 900)
        with pytest.raises(KeyboardInterrupt):
            run(bundle, file, output)
    parts = tmp_path / ".out.parquet.parts"
    assert len(list(parts.glob("*.json"))) == 3
    if what == "input":
        raw = raw.set_column(2, "price", pa.array(np.full(1500, 7.5)))
        write(raw, file)
    else:
        first = parts / "000000.parquet"
        first.write_bytes(first.read_bytes()[:-20] + bytes(20))
    found, _, told = run(bundle, file, output)
    if what == "input":
        assert told == ["not the same as in the earlier try: the input; beginning anew"]
    else:
        assert not told
    monkeypatch.undo()
    whole, _, _ = run(bundle, file, tmp_path / "whole.parquet")
    assert found.equals(whole)


def mistakes(bundle: Path, file: Path, output: Path) -> str:
    before = set(output.parent.iterdir()) if output.parent.is_dir() else set()
    with pytest.raises(UserError) as caught:
        run(bundle, file, output)
    if output.parent.is_dir():
        assert set(output.parent.iterdir()) == before, "nothing is left"
    return str(caught.value)


def changed(raw: pa.Table, name: str, values: Any) -> pa.Table:
    return raw.set_column(raw.column_names.index(name), name, values)


def wrong_tables(raw: pa.Table) -> Iterator[tuple[pa.Table, str, str]]:
    fractions = pa.array([1.5, *[2.0] * 1499])
    texts = pa.array(["a lot", *["2"] * 1499])
    yield raw.drop_columns(["price"]), ".parquet", "visit.price: no column 'price'"
    yield raw.drop_columns(["visited_at", "traffic.visits_3h"]), ".parquet", "visited_at: no column 'visited_at'"
    yield raw.drop_columns(["shop"]), ".csv", "visit.shop: no column 'shop'"
    yield changed(raw, "items", fractions), ".parquet", "visit.items: has values that are no int"
    yield changed(raw, "items", fractions), ".csv", "1 of 1,500 cells of 'items' are no whole numbers (BIGINT)"
    yield changed(raw, "price", texts), ".csv", "1 of 1,500 cells of 'price' are no numbers (DOUBLE)"
    yield changed(raw, "price", texts), ".parquet", "1 of 1,500 cells of 'price' are no numbers (DOUBLE)"
    yield changed(raw, "visited_at", texts), ".parquet", "visited_at"
    yield changed(raw, "shop", texts), ".csv", "1 of 1,500 cells of 'shop' are no whole numbers"


@pytest.mark.parametrize("number", range(9))
def test_wrong_tables_are_refused(bundle: Path, raw: pa.Table, tmp_path: Path, number: int) -> None:
    table, suffix, message = list(wrong_tables(raw))[number]
    found = mistakes(bundle, write(table, tmp_path / f"rows{suffix}"), tmp_path / "out.parquet")
    assert message in found
    assert all(f"rows{suffix}" in line for line in found.splitlines()), found


def test_wrong_places_are_refused(bundle: Path, raw: pa.Table, tmp_path: Path) -> None:
    file = write(raw, tmp_path / "rows.parquet")
    assert mistakes(bundle, file, tmp_path / "out.xlsx") == (
        "option -o: cannot write 'out.xlsx'; its name must end in .parquet or .csv"
    )
    assert "is what is scored; name another" in mistakes(bundle, file, file)
    assert "there is no folder" in mistakes(bundle, file, tmp_path / "no" / "out.csv")
    assert "there is no such folder; a bundle is" in mistakes(tmp_path / "bundel", file, tmp_path / "out.csv")
    assert "no file" in mistakes(bundle, tmp_path / "rows.parqet", tmp_path / "out.csv")
    (tmp_path / "broken.parquet").write_bytes(file.read_bytes()[:5000])
    assert "broken.parquet" in mistakes(bundle, tmp_path / "broken.parquet", tmp_path / "out.csv")
    (tmp_path / "damaged").mkdir()
    assert "argument BUNDLE" in mistakes(tmp_path / "damaged", file, tmp_path / "out.csv")


def test_a_table_that_changes_while_it_is_read_is_refused(
    bundle: Path, raw: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, own = write(raw, tmp_path / "rows.parquet"), score.Parts.write

    def write_meanwhile(*arguments: Any) -> None:
        own(*arguments)
        file.touch()

    monkeypatch.setattr(score.Parts, "write", write_meanwhile)
    with pytest.raises(UserError, match="it changed while it was read"):
        run(bundle, file, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
