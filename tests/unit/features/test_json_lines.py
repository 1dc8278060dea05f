"""JSON lines: what is read is what a line says, and one line tells what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import one_table
from proml_kedro.errors import UserError


def read(folder: Path, lines: list[Any] | bytes, **table: Any) -> pa.Table:
    text = lines if isinstance(lines, bytes) else "".join(json.dumps(one) + "\n" for one in lines).encode()
    (folder / "t.jsonl").write_bytes(text)
    return one_table.read(folder, one_table.problem_of(source="t.jsonl", **table))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1, None, -3], [1, None, -3]),
        ([1, 2.5, 1e300], [1.0, 2.5, 1e300]),
        ([True, None, False], [True, None, False]),
        (["007", "2024-01-01", "true"], ["007", "2024-01-01", "true"]),
        ([2**64 - 1, 2**64 - 2, 1], ["18446744073709551615", "18446744073709551614", "1"]),
        ([2**53 + 1, 0.5, 1], ["9007199254740993", "0.5", "1"]),
        ([1, "x", True], ["1", "x", "true"]),
        ([[1, 2.5], None, []], [[1.0, 2.5], None, []]),
        ([["a"], ["b", "c"], ["d"]], [["a"], ["b", "c"], ["d"]]),
        ([{"a": 1}, None, {}], ['{"a":1}', None, "{}"]),
    ],
)
@pytest.mark.parametrize("key", ["x", "a/b~c", 'sa"y', "ünï"])
def test_values(tmp_path: Path, values: list[Any], found: list[Any], key: str) -> None:
    lines = [{"id": number, key: one} if one is not None else {"id": number} for number, one in enumerate(values)]
    assert read(tmp_path, lines)[key].to_pylist() == found


def test_numbers_that_do_not_fit_are_text(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"id": 1, "x": 1e400}\n{"id": 2, "x": 0.5}\n')["x"].to_pylist() == ["1e400", "0.5"]


def test_declared_types(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        [{"id": 1, "at": "31/01/2024", "n": "7"}],
        date_format={"at": "%d/%m/%Y"},
        types={"n": "BIGINT"},
    )
    assert [str(table["at"][0]), table["n"][0].as_py()] == ["2024-01-31", 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no rows"),
        (b'{"id": 1}\n[2]\n', "line 2 is no object but array"),
        (b'{"id": 1}\n{"id": \n', "line 2 is no JSON object"),
        (b'{"id": 1, "id": 2}\n', "line 1 has a key twice"),
        (b'{"id": 1}\n{"ID": 2}\n', "the keys 'id' and 'ID'"),
        (b'{"id": "\xe9"}\n', "line 1: byte 0xE9 is not UTF-8"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", "\\(")) as caught:
        read(tmp_path, text)
    assert len(caught.value.mistakes) == 1


def test_cells_that_are_none_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, [{"id": 1, "n": "7"}, {"id": 2, "n": "7.5"}], types={"n": "BIGINT"})
    assert "1 of 2 cells of 'n' are no whole numbers (BIGINT)" in str(caught.value)
