"""Look at a stranger's files: how each is written, and what its columns hold."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proml_kedro.authoring.dialect import open_text
from proml_kedro.authoring.draft import Draft
from proml_kedro.authoring.moments import decide_by_others, decide_moments
from proml_kedro.authoring.names import in_sql, is_plain, plain
from proml_kedro.authoring.numbers import decide_numbers
from proml_kedro.engine.duckdb import is_moment, is_number, parquet, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.columns import ColumnTypes, typed
from proml_kedro.features.tables.declared import Declared
from proml_kedro.features.tables.derived import DerivedColumns
from proml_kedro.features.tables.read import without_nan

_TEXT = (".txt", ".tsv", ".tab", ".dat", ".data")
"""Ends of names that say no more than that a file is text; it is read as CSV."""
_SQLITE = (".sqlite", ".sqlite3", ".db")
_AT_ONCE = 100
"""Columns that one query computes statistics of."""


@dataclass(frozen=True)
class Column:
    """What the cells of a column are.

    Attributes:
        name: Its name, which needs no quotes in YAML.
        type: SQL type.
        known: Cells that are not null.
        different: How many different ones there are.
        least: The smallest one.
        most: The largest one.
    """

    name: str
    type: str
    known: int
    different: int
    least: Any
    most: Any

    @property
    def is_moment(self) -> bool:
        """Whether its values are dates or moments."""
        return is_moment(self.type)

    @property
    def is_key_like(self) -> bool:
        """Whether its values can name something: texts or whole numbers."""
        return self.type in ("VARCHAR", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER")

    @property
    def dtype(self) -> str | None:
        """The type of a feature of it; None where there is none."""
        if self.type in ("BOOLEAN", "VARCHAR"):
            return {"BOOLEAN": "bool", "VARCHAR": "str"}[self.type]
        if not is_number(self.type) or self.type.endswith("]"):
            return None
        return "float" if self.type.startswith(("DOUBLE", "FLOAT", "DECIMAL")) else "int"


@dataclass(frozen=True)
class Table:
    """Table that was looked at.

    Attributes:
        draft: Its YAML.
        count: How many rows it has.
        columns: Its columns, those that have names for YAML.
        rows: The rows, typed.
    """

    draft: Draft
    count: int
    columns: Mapping[str, Column]
    rows: Relation

    @property
    def name(self) -> str:
        """Its name."""
        return self.draft.name

    def find(self, column: str) -> Column | None:
        """Return a column by the name in the file or in YAML, whose case does not matter; None when there is none."""
        derived = {text.lower(): name for text, name in self.draft.names.items()}
        name = derived.get(column.lower(), column)
        return next((one for key, one in self.columns.items() if key.lower() == name.lower()), None)


def look_at(files: Sequence[Path], session: Session, folder: Path, base: Path) -> dict[str, Table]:
    """Read files as they stand, decide how they are to be read, and read them so.

    Args:
        files: CSV in any dialect, Parquet, JSON lines, SQLite.
        session: What reads them.
        folder: For copies.
        base: The folder that sources in YAML are relative to.

    Returns:
        The tables by name, in the order of the files.

    Raises:
        UserError: Files that cannot be read, all at once.
    """
    raw: dict[str, tuple[Draft, Relation]] = {}
    mistakes: list[Mistake] = []
    for draft in _drafts(files, base, mistakes):
        try:
            rows = open_text(draft, session, folder)
            is_text = draft.reader().is_text
            if is_text:
                decide_numbers(draft, rows)
                _give_plain_names(draft, rows)
            with draft.opened(session, folder) as again:
                session.write_parquet(f"SELECT * FROM {again}", folder / f"{draft.name}.raw.parquet")
            rows = session.parquet(folder / f"{draft.name}.raw.parquet")
            decide_moments(draft, rows, is_text)
            decide_by_others(draft, rows)
            raw[draft.name] = draft, rows
        except UserError as error:
            mistakes += (replace(one, key="", message=f"{draft.file.name}: {one.message}") for one in error.mistakes)
    if mistakes:
        raise UserError(*mistakes)
    return {name: read_again(draft, rows, folder) for name, (draft, rows) in raw.items()}


def _drafts(files: Sequence[Path], base: Path, mistakes: list[Mistake]) -> Iterator[Draft]:
    names: set[str] = set()
    for file in files:
        if not file.exists():
            mistakes.append(Mistake("", f"there is no file '{file}'"))
            continue
        source = _source(file, base)
        suffix = file.suffix.lower()
        tables = _tables_of(file) if suffix in _SQLITE else [None]
        if not tables:
            mistakes.append(Mistake("", f"'{file}' has no tables"))
        for table in tables:
            stem = table or file.name.removesuffix(suffix).partition(".")[0]
            draft = Draft(plain(stem, names, f"table{len(names) + 1}"), file.resolve(), source)
            names.add(draft.name)
            if table:
                draft.options["table"] = table
            elif suffix in _TEXT:
                draft.set("reader", "csv", f"a name that ends in {suffix} does not say how to read it")
            yield draft


def _source(file: Path, base: Path) -> str:
    """The file as YAML names it: relative where it lies in the project's folder, or not far from it."""
    own, home = file.resolve(), base.resolve()
    near = own.is_relative_to(home) or own.is_relative_to(home.parent)
    return Path(os.path.relpath(own, home)).as_posix() if near else own.as_posix()


def _tables_of(file: Path) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return [name for (name,) in connection.execute(query)]
    except sqlite3.DatabaseError as error:
        raise UserError(Mistake("", f"'{file}': {error}")) from error


def read_again(draft: Draft, raw: Relation, folder: Path) -> Table:
    """Read a table as its draft says, and compute statistics of its columns.

    Args:
        draft: The table.
        raw: Its rows, before anything is cast.
        folder: For a copy.
    """
    _give_plain_names(draft, raw)
    reader = draft.reader()
    columns = ColumnTypes(draft.name, reader, Declared(), reader.numbers(), reader.is_text).decide(raw)
    rows = DerivedColumns(reader, f"problem.tables.{draft.name}").add(without_nan(typed(raw, columns)))
    file = folder / f"{draft.name}.parquet"
    count = raw.engine.write_parquet(f"SELECT * FROM {rows}", file)
    again = Relation(parquet(file), raw.engine)
    types = {name: type_ for name, type_ in again.schema.items() if is_plain(name)}
    return Table(draft, count, dict(_statistics(again, types)), again)


def _give_plain_names(draft: Draft, raw: Relation) -> None:
    """Derive a column with a plain name of each that has another one."""
    taken = {name for name in raw.schema if is_plain(name)}
    for name in raw.schema:
        if is_plain(name):
            continue
        own = draft.names.get(name) or plain(name, {*taken, *draft.columns}, f"c{len(taken) + 1}")
        if name in draft.columns:  # derived under a name that YAML does not take
            draft.columns[own] = draft.columns.pop(name)
            draft.reasons[f"columns.{own}"] = draft.reasons.pop(f"columns.{name}")
        else:
            draft.columns.setdefault(own, in_sql(name))
        draft.names[name] = own
        taken.add(own)
        if name in draft.undecided:
            draft.undecided[own] = draft.undecided.pop(name)


def _statistics(rows: Relation, types: Mapping[str, str]) -> Iterator[tuple[str, Column]]:
    names = list(types)
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        wanted = [_queried(name, types[name]) for name in part]
        values = iter(rows.engine.row(f"SELECT {', '.join(wanted)} FROM {rows}"))
        for name in part:
            yield name, Column(name, types[name], next(values), next(values), next(values), next(values))


def _queried(name: str, type_: str) -> str:
    column = quote(name)
    is_flat = not type_.endswith("]") and not type_.startswith(("STRUCT", "MAP", "UNION", "BLOB"))
    bounds = f"min({column}), max({column})" if is_flat else "NULL, NULL"
    return f"count({column}), count(DISTINCT {column}), {bounds}"
