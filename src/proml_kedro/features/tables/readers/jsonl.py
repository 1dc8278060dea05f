"""JSON lines: an object a line, plain or packed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proml_kedro.engine.duckdb import file_literal, literal, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.plain import PACKED, PlainText, not_utf8
from proml_kedro.features.tables.readers.base import Source, TableReader

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = {"BIGINT", "UBIGINT", "DOUBLE"}
_LONG = "regexp_full_match({0}, '-?[0-9]{{16,}}')"
"""Whole numbers that double precision may not hold."""


class JsonLinesReader(TableReader):
    """A file with a JSON object a line, plain or in ``.gz``, ``.zst`` or ``.zip``. What a line lacks is null.

    Whole numbers, numbers, truth values and text keep their type; where lines differ, or numbers are too long for
    their type, a column is the text of its JSON values (``1e5`` is ``100000.0`` then, as JSON has one sort of number).
    Objects are text; so are lists, unless all are of numbers or all of text.

    Attributes:
        encoding: Such as ``utf-16``; UTF-8, or what the file's first bytes say, when left out.
    """

    suffixes: ClassVar[tuple[str, ...]] = tuple(f".{one}{two}" for one in ("jsonl", "ndjson") for two in ("", *PACKED))

    encoding: str | None = None

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give the file, or a copy that is unpacked and in UTF-8."""
        copy = folder / f".{source.name}.jsonl"
        file = source.files()[0]
        inside = ".ndjson" if ".ndjson" in file.name.lower() else ".jsonl"
        try:
            yield [PlainText(file, source.key, self.encoding, inside).write(copy)]
        finally:
            copy.unlink(missing_ok=True)

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows, each column with the type that its values have in all lines."""
        lines = f"read_json_objects({file_literal(files[0])}, format = 'newline_delimited')"
        self._check_lines(lines, session)
        pointer = "'/' || replace(replace(key, '~', '~0'), '/', '~1')"
        keys = f"SELECT json, unnest(json_keys(json)) AS key FROM {lines}"
        values = f"SELECT key, json_extract(json, {pointer}) AS value FROM ({keys})"
        text = "json_extract_string(value, '$')"
        found = session.rows(
            f"SELECT key, list(DISTINCT json_type(value)), "
            f"count(*) FILTER ({_LONG.format(text)} OR NOT isfinite(TRY_CAST({text} AS DOUBLE))"
            f" OR json_type(value) = 'ARRAY' AND regexp_matches({text}, '(^|[^.0-9])[0-9]{{16,}}')), "
            f"bool_or(TRY_CAST({text} AS BIGINT) IS NULL) FILTER (json_type(value) IN ('BIGINT', 'UBIGINT')), "
            "list(DISTINCT json_structure(value)::VARCHAR) FILTER (json_type(value) = 'ARRAY') "
            f"FROM ({values}) GROUP BY key"
        )
        types = {
            key: _type_of(set(kinds) - {"NULL"}, long, huge, set(of or ())) for key, kinds, long, huge, of in found
        }
        first = session.rows(f"SELECT json_keys(json) FROM {lines} LIMIT 1")
        if not first:
            raise UserError.at("source", "the file has no rows")
        names = list(dict.fromkeys([*first[0][0], *sorted(types)]))
        _check_names(names)
        columns = ", ".join(f"{_value(name, types[name])} AS {quote(name)}" for name in names)
        return session.relation(f"(SELECT {columns} FROM {lines})")

    def _check_lines(self, lines: str, session: Session) -> None:
        number, kind, again = session.rows(
            f"SELECT min(line) FILTER (kind != 'OBJECT'), any_value(kind) FILTER (kind != 'OBJECT'), "
            f"min(line) FILTER (again) FROM (SELECT row_number() OVER () AS line, json_type(json) AS kind, "
            f"len(json_keys(json)) > len(list_distinct(json_keys(json))) AS again FROM {lines})"
        )[0]
        if number is not None:
            raise UserError.at("source", f"line {number:,} is no object but {kind.lower()}")
        if again is not None:
            raise UserError.at("source", f"line {again:,} has a key twice")

    def blame(self, error: EngineError, files: Sequence[Path], session: Session) -> tuple[str, str] | None:
        """Find the line."""
        wrong = not_utf8(files[0])
        if wrong:
            return wrong
        with files[0].open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    json.loads(line or "null")
                except ValueError:
                    return "source", f"line {number:,} is no JSON object"
        return None

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a packed file in which nulls are left out, except in the first line."""
        lines = [
            {name: value for name, value in row.items() if value is not None or not number}
            for number, row in enumerate(rows.to_pylist())
        ]
        text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)
        (folder / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
        return {"source": "rows.jsonl.gz"}


def _type_of(kinds: set[str], long: int, huge: bool | None, lists: set[str]) -> str:
    """The SQL type of a column, by the JSON types of its values."""
    if kinds <= {"BIGINT", "UBIGINT"} and kinds:
        return "VARCHAR" if huge else "BIGINT"
    if kinds <= _NUMBERS and kinds:
        return "VARCHAR" if long else "DOUBLE"
    if kinds == {"BOOLEAN"}:
        return "BOOLEAN"
    if kinds == {"ARRAY"}:
        inner = {one[2:-2] for one in lists} - {"NULL"}
        return (
            "VARCHAR"
            if long or not inner <= {*_NUMBERS, "VARCHAR"}
            else "VARCHAR[]"
            if "VARCHAR" in inner
            else "DOUBLE[]"
        )
    return "VARCHAR"


def _value(name: str, type_: str) -> str:
    pointer = literal("/" + name.replace("~", "~0").replace("/", "~1"))
    text = f"json_extract_string(json, {pointer})"
    if type_ in ("DOUBLE[]", "VARCHAR[]"):
        return f"CAST(json_extract(json, {pointer}) AS {type_})"
    return text if type_ == "VARCHAR" else f"CAST({text} AS {type_})"


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise UserError.at("source", "the objects have no keys")
    seen: dict[str, str] = {}
    for name in names:
        if not name:
            raise UserError.at("source", "lines have a key without a name")
        if name.lower() in seen:
            message = f"lines have the keys '{seen[name.lower()]}' and '{name}', which would be one column"
            raise UserError.at("source", message)
        seen[name.lower()] = name
