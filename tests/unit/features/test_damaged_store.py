"""An online store in a file of which any part was overwritten is found, and can be filled again."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proml_kedro.features.online.sqlite import SQLiteStore
from proml_kedro.features.online.store import NewRow, entity_key, to_microseconds
from without_rights import rights_hold

UNTIL = datetime(2024, 3, 1, tzinfo=UTC)
LAYOUT = (("spent", "double_val"), ("items", "int64_val"))
KEYS = {"user": "int"}
ROWS: list[NewRow] = [
    (entity_key(KEYS, {"user": one}), to_microseconds(UNTIL) - one, to_microseconds(UNTIL), [one / 7, one])
    for one in range(400)
]
FILLINGS = (b"\0", b"x", b"\xff", None)


def fill(store: SQLiteStore) -> bool:
    """Do what a run does; return whether there was something to do."""
    discarded = store.discard_damaged()
    last = store.watermarks().get("orders")
    if not discarded and last and last.history == "made" and last.until == UNTIL and store.is_as_written("orders"):
        return False
    store.drop_view("orders")
    store.add_view("orders", KEYS)
    store.write("orders", LAYOUT, ROWS)
    store.set_watermark("orders", UNTIL, "made")
    return True


def values(store: SQLiteStore) -> dict[bytes, tuple[int, list[float]]]:
    return {key: (row[0], row[2]) for key, row in store.read("orders", [one[0] for one in ROWS]).items()}


@pytest.mark.parametrize("seed", range(40))
def test_a_part_of_the_file_is_overwritten(tmp_path: Path, seed: int) -> None:
    file, chance = tmp_path / "online.db", random.Random(seed)
    store = SQLiteStore(file, "shop")
    assert fill(store)
    expected = values(store)
    assert len(expected) == 400
    assert not fill(SQLiteStore(file, "shop"))
    content, length = bytearray(file.read_bytes()), chance.choice([1, 4, 40, 900, 5000, 20_000])
    start, filling = chance.randrange(len(content)), chance.choice(FILLINGS)
    part = (chance.randbytes(length) if filling is None else filling * length)[: len(content) - start]
    content[start : start + length] = part
    file.write_bytes(content)
    again = SQLiteStore(file, "shop")
    fill(again)
    assert values(again) == expected
    assert values(SQLiteStore(file, "shop")) == expected
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not fill(SQLiteStore(file, "shop"))


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """SQLite says of it that it cannot open a file, and not which."""
    file = tmp_path / "online.db"
    fill(SQLiteStore(file, "shop"))
    file.chmod(0)
    with rights_hold(), pytest.raises(PermissionError, match=str(file)):
        values(SQLiteStore(file, "shop"))
    file.chmod(0o444)
    with rights_hold():
        store = SQLiteStore(file, "shop")
        assert len(values(store)) == 400
        with pytest.raises(PermissionError, match=str(file)):
            store.write("orders", LAYOUT, ROWS)
    file.unlink()
    file.mkdir()
    with pytest.raises(IsADirectoryError, match=str(file)):
        fill(SQLiteStore(file, "shop"))
