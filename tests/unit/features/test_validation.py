"""Features that are of no use are named with their file and line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.marketplace.entry import Entry
from proml_kedro.marketplace.validate import Finding, validate
from proml_kedro.results import Places
from shop import HARDWARE

GOOD = Entry(
    name="shelf.price",
    problem="shop",
    view="shelf",
    dtype="float",
    feature_type="numerical",
    entity="item",
    description="a price",
    table="shelves",
    models="trees",
    place="conf/features/shop.yaml:7",
)


def entry(name: str, **changes: object) -> Entry:
    return replace(GOOD, name=f"shelf.{name}", **changes)  # type: ignore[arg-type]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name in ("feature_tables", "tables"):
        (folder / name).mkdir(parents=True)
    columns = {
        "item": ["a", "b", "c"],
        "price": [1.0, 2.0, None],
        "gone": pa.array([None, None, None], pa.float64()),
        "same": [3, 3, None],
        "code": ["x", "y", "x"],
        "whole": [1, 2, 3],
        "cut": [1, 2, 3],
    }
    pq.write_table(pa.table(columns), folder / "feature_tables" / "shelf.parquet")
    source = {"item": ["a", "b", "c"], "whole": [1.0, 2.0, None], "cut": [1.0, 2.5, 3.0], "half": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table(source), folder / "tables" / "shelves.parquet")
    return tmp_path


def places(data: Path) -> Places:
    return Places(str(data), "shop", "trees")


def messages(data: Path, *entries: Entry) -> list[tuple[str, str, str]]:
    return [(one.level, one.feature, one.message) for one in validate(entries, places(data), HARDWARE)]


def test_nothing_to_say_about_a_good_one(data: Path) -> None:
    assert messages(data, GOOD, entry("code", dtype="str"), entry("whole", dtype="int")) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (entry("price", description=""), ("warning", "has no description")),
        (entry("price", models=""), ("warning", "no model reads it")),
        (entry("price", null_share=1.0), ("error", "missing in every example")),
        (entry("gone"), ("error", "has no value in any row")),
        (entry("same", dtype="int"), ("warning", "has the same value in every row, where it has one")),
        (entry("new"), ("error", "the feature table lacks it: `kedro run --pipelines=features`")),
        (
            entry("code"),
            ("error", "the feature table holds VARCHAR, not DOUBLE: `kedro run --pipelines=features`"),
        ),
        (
            entry("cut", dtype="int"),
            ("error", "declared int, but 33.3% of the values in 'shelves' have fractions"),
        ),
        (
            entry("whole", dtype="int", expression="half / 2"),
            ("error", "declared int, but 66.7% of the values in 'shelves' have fractions"),
        ),
    ],
    ids=lambda value: value[1][:25] if isinstance(value, tuple) else "",
)
def test_findings(data: Path, changed: Entry, expected: tuple[str, str]) -> None:
    level, message = expected
    assert messages(data, changed) == [(level, changed.name, message)]


def test_a_bundle_that_reads_it_is_a_use(data: Path) -> None:
    assert messages(data, entry("price", models="", bundles="shop-trees:v1")) == []


def test_a_line_names_the_file_first_in_the_order_of_lines(data: Path) -> None:
    late, early = entry("gone", place="conf/features/shop.yaml:10"), entry("price", description="")
    found = validate([late, early], places(data), HARDWARE)
    assert str(found[0]) == "conf/features/shop.yaml:7: warning: shelf.price: has no description"
    assert str(found[1]) == "conf/features/shop.yaml:10: error: shelf.gone: has no value in any row"


def test_without_tables_the_declaration_is_looked_at(tmp_path: Path) -> None:
    found = validate([entry("gone", description=""), entry("x", entity="request")], places(tmp_path), HARDWARE)
    assert found == [Finding("warning", GOOD.place, "shelf.gone", "has no description")]
