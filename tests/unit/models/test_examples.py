"""Examples: read when they are looked at, in parts or as a whole, with weights, groups and further labels."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from proml_kedro.models.columns import ParquetRows, read_all, read_codes
from proml_kedro.models.component import Examples, Input, LazyColumns
from proml_kedro.models.examples import read_examples
from proml_kedro.spec.problem import ProblemSpec

INPUTS = [Input("shop.price", "float"), Input("member", "str")]
SPLITS = "train", "test"
PROBLEM = {
    "name": "p",
    "tables": {"t": {"source": "t.csv"}},
    "examples": {"table": "t", "entities": ["member"], "timestamp": "at", "group": "list", "weight": "w"},
    "label": {"expression": "clicked"},
    "auxiliary_labels": {"bought": "bought"},
    "split": {"validation_from": "2024-01-01", "test_from": "2024-02-01"},
}


@pytest.fixture
def training_set(tmp_path):
    rows = 1000
    table = pa.table(
        {
            "split": ["train" if row % 3 else "test" for row in range(rows)],
            "label": pa.array([float(row % 2) for row in range(rows)], pa.float32()),
            "weight": pa.array([row / 10 for row in range(rows)], pa.float32()),
            "group": [None if row % 10 == 0 else f"list {row // 10}" for row in range(rows)],
            "label.bought": pa.array([None if row % 5 == 0 else 1.0 for row in range(rows)], pa.float32()),
            "shop.price": [None if row % 7 == 0 else float(row) for row in range(rows)],
            "member": pa.array([None if row % 11 == 0 else row for row in range(rows)], pa.int64()),
        }
    )
    pq.write_table(table, tmp_path / "training_set.parquet", row_group_size=64)
    return tmp_path / "training_set.parquet"


def test_everything_the_problem_declares_is_there(training_set):
    examples = read_examples(training_set, "train", INPUTS, ProblemSpec.model_validate(PROBLEM), "float32")
    kept = [row for row in range(1000) if row % 3]
    assert len(examples) == len(kept) == len(examples.source)
    assert examples.weight == pytest.approx(np.array(kept, np.float32) / 10)
    assert np.isnan(examples.labels["bought"]).tolist() == [row % 5 == 0 for row in kept]
    same_list = {(a // 10 == b // 10) and a % 10 > 0 and b % 10 > 0 for a, b in [(kept[0], kept[1])]}
    assert same_list == {examples.group[0] == examples.group[1]}
    alone = [number for number, row in zip(examples.group, kept, strict=True) if row % 10 == 0]
    assert len(set(alone)) == len(alone)
    assert not set(alone) & {number for number, row in zip(examples.group, kept, strict=True) if row % 10}


def test_a_problem_with_neither_has_neither(training_set):
    plain = {**PROBLEM, "examples": {"table": "t", "entities": ["member"], "timestamp": "at"}, "auxiliary_labels": {}}
    examples = read_examples(training_set, "train", INPUTS, ProblemSpec.model_validate(plain), "float32")
    assert (examples.weight, examples.group, examples.labels) == (None, None, {})


def test_keys_that_are_numbers_are_read_as_categories(training_set):
    members = ParquetRows(training_set, "test").read(INPUTS)["member"]
    assert members[:5].tolist() == [None, "3", "6", "9", "12"]


@pytest.mark.parametrize("size", [1, 37, 64, 5000])
def test_batches_are_the_rows_in_their_order(training_set, size):
    rows = ParquetRows(training_set, "train")
    batches = list(rows.batches(INPUTS, size))
    assert max(len(batch["member"]) for batch in batches) <= size
    whole = rows.read(INPUTS)
    for name, values in whole.items():
        joined = np.concatenate([batch[name] for batch in batches])
        assert joined.dtype == values.dtype
        assert np.array_equal(joined, values, equal_nan=joined.dtype != object)


def test_columns_are_read_once_and_only_when_asked_for():
    calls = []

    def read():
        calls.append(1)
        return {"a": np.arange(3)}

    columns = LazyColumns(["a"], read)
    assert list(columns) == ["a"]
    assert "a" in columns or not calls
    calls.clear()
    columns = LazyColumns(["a"], read)
    assert len(columns) == 1
    assert not calls
    assert columns["a"].tolist() == columns["a"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    with pytest.raises(KeyError):
        columns["b"]


def test_taking_and_joining_keep_rows_together():
    def make(start):
        values = np.arange(start, start + 4, dtype=np.float32)
        return Examples({"x": values}, values, values, np.array([0, 0, 1, 1]), {"other": values})

    both = make(0).join(make(4))
    assert both.columns["x"].tolist() == both.weight.tolist() == both.labels["other"].tolist() == list(range(8))
    assert both.group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    taken = both.take(both.label > 5)
    assert taken.columns["x"].tolist() == taken.weight.tolist() == taken.labels["other"].tolist() == [6, 7]
    assert taken.group.tolist() == [3, 3]


def test_values_are_numbered_and_missing_ones_are_of_their_own(tmp_path):
    file = tmp_path / "rows.parquet"
    column = pa.chunked_array([["b", None], ["a", "b", None]])
    pq.write_table(pa.table({"group": column, "part": [1, 1, 2, 1, 1]}), file, row_group_size=2)
    first, missing, other, again, missing_too = read_codes(file, "group")
    assert first == again
    assert sorted({first, missing, other, missing_too}) == [0, 1, 2, 3]
    assert sorted(read_codes(file, "part", pc.field("group") == "b").tolist()) == [0, 0]


def test_row_groups_are_read_by_what_they_hold_of_a_split(tmp_path):
    """One of the split alone, one of another split, one mixed, and one with a row of none."""
    groups = [["train"] * 5, ["test"] * 5, ["test", "train", "train", "test", "train"], ["train"] * 4 + [None]]
    split = [one for group in groups for one in group]
    table = pa.table({"split": pa.array(split, pa.string()), "shop.price": pa.array(range(20), pa.float32())})
    for statistics in (True, False):
        pq.write_table(table, tmp_path / "rows.parquet", row_group_size=5, write_statistics=statistics)
        source = ParquetRows(tmp_path / "rows.parquet", "train")
        found = [columns["shop.price"] for columns in source.batches(INPUTS[:1], 3)]
        assert max(map(len, found)) == 3
        assert np.concatenate(found).tolist() == [row for row, one in enumerate(split) if one == "train"]
        np.testing.assert_array_equal(source.read(INPUTS[:1])["shop.price"], np.concatenate(found))


@pytest.mark.parametrize("kept", [500, 900])
def test_a_file_that_holds_other_rows_than_it_did_is_refused(training_set, kept):
    source = ParquetRows(training_set, "train")
    before = len(source)
    whole = pq.read_table(training_set)
    pq.write_table(whole.slice(0, kept) if kept < 900 else pa.concat_tables([whole, whole]), training_set)
    with pytest.raises(ValueError, match=r"rows were read where there should be|could not broadcast"):
        source.read(INPUTS)
    assert len(source) == before


def test_joined_examples_are_read_one_source_after_the_other(training_set):
    parts = [read_examples(training_set, split, INPUTS, ProblemSpec(**PROBLEM), "float32") for split in SPLITS]
    both = parts[0].join(parts[1])
    assert len(both) == len(both.source) == 1000
    for read in (read_all(both.source, INPUTS), both.columns):
        for name in ("shop.price", "member"):
            np.testing.assert_array_equal(read[name], np.concatenate([one.columns[name] for one in parts]))
    named = list(both.source.record_batches(["member"], 100))
    assert sum(len(one) for one in named) == 1000
    assert both.join(both.take(np.arange(3))).source is None
