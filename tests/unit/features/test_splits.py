"""Ways to divide examples: shares, seeds, groups, strata, and what is refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError

from proml_kedro.engine.session import connect
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.split import AnySplit, ExampleColumns, SplitSpec

ROWS = 4000
GENERATOR = np.random.default_rng(0)
START = datetime(2024, 1, 1, tzinfo=UTC)
TABLE = pa.table(
    {
        "row": pa.array(range(ROWS), pa.int64()),
        "user": pa.array([None if one == 80 else int(one) for one in GENERATOR.integers(0, 81, ROWS)], pa.int64()),
        "fold": pa.array(GENERATOR.integers(0, 5, ROWS)),
        "y": pa.array(GENERATOR.random(ROWS) < 0.05),
        "at": pa.array([START + timedelta(minutes=int(one)) for one in GENERATOR.permutation(ROWS)]),
    }
)
COLUMNS = ExampleColumns('"at"', '"row", "at"', "y")
RANDOM = {"by": "random", "validation": "20%", "test": 0.1}


def divide(config: dict[str, Any], table: pa.Table = TABLE, columns: ExampleColumns = COLUMNS) -> dict[int, Any]:
    split = TypeAdapter(AnySplit).validate_python(config)
    with connect(HardwareSpec(threads=2, memory="300MB")) as session:
        session.register("examples", table)
        return dict(session.rows(f"SELECT row, {split.divide(columns)} FROM examples"))


def test_a_random_split_has_the_shares_of_rows_and_of_labels() -> None:
    parts = divide(RANDOM)
    labels = TABLE["y"].to_pylist()
    for label in (False, True):
        rows = [part for row, part in parts.items() if labels[row] is label]
        assert Counter(rows)["test"] == pytest.approx(0.1 * len(rows), abs=1)
        assert Counter(rows)["validation"] == pytest.approx(0.2 * len(rows), abs=1)
    by_chance = Counter(divide({**RANDOM, "stratified": False}).values())
    assert by_chance["test"] == pytest.approx(0.1 * ROWS, abs=80)
    assert by_chance["validation"] == pytest.approx(0.2 * ROWS, abs=100)


def test_a_seed_divides_otherwise_and_new_rows_leave_the_old_ones_where_they_are() -> None:
    config = {**RANDOM, "stratified": False}
    parts = divide(config)
    assert divide({**config, "seed": 1}) != parts
    part = divide(config, TABLE.slice(1000, 500))
    assert part == {row: parts[row] for row in range(1000, 1500)}


def test_the_division_is_the_same_for_ever() -> None:
    """A bundle's golden rows and a notebook of last year rest on it; the digest is MD5, of no library's choosing."""
    parts = divide({**RANDOM, "stratified": False}, TABLE, ExampleColumns('"at"', '"row"'))
    for row, part in parts.items():
        digest = hashlib.md5(f"({row},) 0".encode()).digest()
        place = int.from_bytes(digest[8:], "little") / 2**64
        assert part == ("test" if place < 0.1 else "validation" if place < 0.3 else "train")


def test_a_group_is_on_one_side() -> None:
    parts = divide({**RANDOM, "group": "user"})
    users = TABLE["user"].to_pylist()
    sides: dict[Any, set[str]] = {}
    for row, part in parts.items():
        sides.setdefault(users[row], set()).add(part)
    nobody = sides.pop(None)
    assert all(len(one) == 1 for one in sides.values())
    assert {next(iter(one)) for one in sides.values()} == {"train", "validation", "test"}
    assert len(nobody) > 1, "a row without a user is a group of its own"


def test_equal_rows_are_on_one_side() -> None:
    twice = pa.concat_tables([TABLE.slice(0, 300), TABLE.slice(0, 300).set_column(0, "row", pa.array(range(300, 600)))])
    parts = divide(RANDOM, twice, ExampleColumns('"at"', '"user", "at"', "y"))
    assert all(parts[row] == parts[row + 300] for row in range(300))


def test_the_last_examples_of_each_entity_are_held_out() -> None:
    parts = divide({"by": {"entity": "user", "last": "20%"}})
    assert parts == divide({"by": "entity", "entity": "user", "last": 0.2})
    users, moments = TABLE["user"].to_pylist(), TABLE["at"].to_pylist()
    for user in set(users):
        own = sorted((row for row in range(ROWS) if users[row] == user), key=lambda row: moments[row])
        names = [parts[row] for row in own]
        assert names == sorted(names, key=["train", "validation", "test"].index)
        assert names.count("test") == pytest.approx(0.1 * len(own), abs=1)
        assert names.count("validation") == pytest.approx(0.1 * len(own), abs=1)


def test_a_column_says_where_a_row_belongs() -> None:
    values = {"train": [0, 1, "2"], "validation": [3], "test": [4]}
    parts = divide({"by": "column", "column": "fold", "values": values})
    names = {0: "train", 1: "train", 2: "train", 3: "validation", 4: "test"}
    assert list(parts.values()) == [names[one] for one in TABLE["fold"].to_pylist()]
    some = {"validation": [3], "test": [4]}
    assert parts == divide({"by": "column", "column": "fold", "values": some, "otherwise": "train"})
    lost = divide({"by": "column", "column": "fold", "values": {**values, "train": [0, 1]}})
    assert [part is None for part in lost.values()] == [one == 2 for one in TABLE["fold"].to_pylist()]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**RANDOM, "test": "80%"}, "validation and test leave nothing to train on"),
        ({**RANDOM, "test": "0%"}, "greater than 0"),
        ({**RANDOM, "test": "x%"}, "valid number"),
        ({**RANDOM, "group": "user", "stratified": True}, "stratified divides rows"),
        ({"by": "column", "column": "fold", "values": {"train": [1], "validation": [1], "test": [2]}}, "two parts"),
        ({"by": "column", "column": "fold", "values": {"train": [1], "test": [2]}}, "no value belongs to validation"),
        ({"by": {"entty": "user", "last": "20%"}}, "Did you mean 'entity'"),
        ({"by": {"entity": "user", "lst": "20%"}}, "lst"),
    ],
)
def test_what_cannot_be_divided_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(AnySplit).validate_python(config)


def test_values_of_a_column_are_compared_as_yaml_writes_them() -> None:
    """Numbers as numbers, whatever a tool writes for 0; text as the cell has it."""
    cells = (["0.0", "1", "2.00"] * ROWS)[:ROWS]
    table = TABLE.append_column("part", pa.array(cells))
    by = {"by": "column", "column": "part"}
    numbers = {**by, "values": {"train": [0], "validation": [1], "test": [2]}}
    assert set(divide(numbers, table).values()) == {"train", "validation", "test"}
    texts = {**by, "values": {"train": ["0.0"], "validation": ["1"], "test": ["2.0"]}}
    assert [row for row, part in divide(texts, table).items() if part is None] == list(range(2, ROWS, 3))
    splits = [TypeAdapter(AnySplit).validate_python(one) for one in (texts, numbers)]
    assert [list(one.texts()) for one in splits] == [[("part", "column")], []]


class ByWeekday(SplitSpec):
    """Sundays judge, Saturdays choose."""

    by: Literal["weekday"] = "weekday"

    def sql(self, timestamp: str) -> str:
        day = f"isodow({self.local(timestamp)})"
        return f"CASE {day} WHEN 7 THEN 'test' WHEN 6 THEN 'validation' ELSE 'train' END"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "UTC"])
def test_days_of_a_split_of_one_s_own_begin_in_its_time_zone(zone: str) -> None:
    at = [
        datetime(2024, 3, 8, tzinfo=UTC) + timedelta(minutes=20 * one) for one in range(400)
    ]  # over a change of clocks
    table = pa.table({"row": range(400), "at": at})
    with connect(HardwareSpec(threads=2, memory="300MB")) as session:
        session.register("examples", table)
        split = ByWeekday(timezone=zone).divide(ExampleColumns('"at"', '"row"'))
        found = [part for (part,) in session.rows(f"SELECT {split} FROM examples ORDER BY row")]
    days = [one.astimezone(ZoneInfo(zone)).isoweekday() for one in at]
    assert found == [{6: "validation", 7: "test"}.get(one, "train") for one in days]
