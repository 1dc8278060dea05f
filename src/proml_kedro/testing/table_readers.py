"""The laws of table readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.errors import UserError
from proml_kedro.extensions import table_readers
from proml_kedro.features.tables.read import read_tables, source_fingerprint
from proml_kedro.features.tables.readers import TableReader
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

_ROWS = pa.table(
    {
        "n": pa.array([5, 1, None, 3, 20, -7], pa.int64()),
        "x": pa.array([0.5, None, -2.25, 1e6, 0.125, 3.0], pa.float64()),
        "s": pa.array(["one", "two words", "thirté", None, "o'five", "six"], pa.string()),
    }
)
_HARDWARE = HardwareSpec(threads=1, memory="300MB")


def check_table_reader(name: str, folder: Path) -> None:
    """Prove the laws for a registered table reader, on rows that it writes itself.

    ::

        def test_my_reader(tmp_path):
            check_table_reader("fixed_width", tmp_path)

    What is read is what was written, nulls and order included; declared types and ``select`` apply; a column or a
    source that is not there is a mistake with its key; the fingerprint follows the content; no temporary file is left.

    Args:
        name: The reader's name.
        folder: An empty folder to write into.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    kind = table_readers.get(name)
    assert issubclass(kind, TableReader), f"'{name}' is registered and no TableReader"
    base = folder / "sources"
    base.mkdir()
    config = dict(kind.sample(_ROWS, base))
    if not kind.claims(str(config["source"])) and not (base / str(config["source"])).is_dir():
        assert config.get("reader") == name, "sample() has to name the reader that its source does not call for"
    _check_rows(_read(config, base, folder / "plain"), _ROWS, "read")
    types = config.get("types", {})
    typed = _read({**config, "types": {**types, "n": "VARCHAR"}}, base, folder / "typed")
    assert typed["n"].type == pa.string(), "types do not apply: n is declared VARCHAR"
    _check_rows(typed.set_column(0, "n", typed["n"].cast(pa.int64())), _ROWS, "read with types")
    selected = {**config, "select": ["s", "x"], "types": {name: one for name, one in types.items() if name != "n"}}
    _check_rows(_read(selected, base, folder / "selected"), _ROWS.select(["x", "s"]), "read with select")
    _refused({**config, "types": {**types, "nothing": "VARCHAR"}}, "problem.tables.t.types.nothing", base, folder)
    if kind.reads_files:
        _refused({**config, "source": "not/there.file", "reader": name}, "problem.tables.t.source", base, folder)
    _check_fingerprint(kind, config, base, folder)


def _problem(config: Mapping[str, Any]) -> ProblemSpec:
    moments = "SELECT *, TIMESTAMPTZ '2024-01-01 00:00:00+00' AS at FROM t"
    return ProblemSpec.model_validate(
        {
            "name": "law",
            "tables": {"t": config, "examples": {"query": moments}},
            "examples": {"table": "examples", "entities": ["s"], "timestamp": "at"},
            "label": {"expression": "x > 0"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
        }
    )


def _read(config: Mapping[str, Any], base: Path, target: Path) -> pa.Table:
    target.mkdir()
    before = sorted(base.rglob("*"))
    read_tables(_problem(config), None, base, _HARDWARE, target)
    left = {one.name for one in target.iterdir()}
    assert left == {"t.parquet", "examples.parquet", "tables.json"}, f"temporary files are left: {sorted(left)}"
    assert sorted(base.rglob("*")) == before, "files beside the source are written"
    return pq.read_table(target / "t.parquet")


def _check_rows(given: pa.Table, wanted: pa.Table, how: str) -> None:
    assert given.column_names == wanted.column_names, f"{how}: columns {given.column_names}"
    for name in wanted.column_names:
        found, there = given[name].to_pylist(), wanted[name].to_pylist()
        assert found == there, f"{how}: column {name} is {found}, not {there}"


def _refused(config: Mapping[str, Any], key: str, base: Path, folder: Path) -> None:
    target = folder / key.rpartition(".")[2]
    target.mkdir()
    keys: list[str] = []
    try:
        read_tables(_problem(config), None, base, _HARDWARE, target)
    except UserError as error:
        keys = [one.key for one in error.mistakes]
    assert keys == [key], f"mistakes are at {keys}, not at {key}"


def _check_fingerprint(kind: type[TableReader], config: Mapping[str, Any], base: Path, folder: Path) -> None:
    table = _problem(config).tables["t"]
    first = source_fingerprint("t", table, base)
    assert first == source_fingerprint("t", table, base), "the fingerprint of the same content differs"
    other = folder / "other"
    other.mkdir()
    changed = kind.sample(_ROWS.set_column(0, "n", pa.array([5, 1, None, 3, 20, -8], pa.int64())), other)
    assert source_fingerprint("t", _problem(changed).tables["t"], other) != first, (
        "the fingerprint of other content is the same"
    )
