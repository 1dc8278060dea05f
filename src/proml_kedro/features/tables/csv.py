"""CSV files as tables in SQL."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Mapping
from pathlib import Path

from proml_kedro.engine.duckdb import literal
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Engine


def csv_sql(file: Path, types: Mapping[str, str], whole: bool = False) -> str:
    """Return a CSV file with a header line, as a table in SQL. Empty fields and ``NA`` are null.

    Args:
        file: The file; it may be compressed with gzip.
        types: SQL types of columns; those of others are guessed.
        whole: Whether guesses consider the whole file rather than its beginning.
    """
    declared = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in types.items())
    return (
        f"read_csv({literal(str(file))}, {_dialect(file)}, sample_size = {-1 if whole else 20480}"
        + (f", types = {{{declared}}}" if declared else "")
        + ")"
    )


def column_names(file: Path) -> list[str]:
    """Return the names in the header line."""
    line = _first_line(file)
    return next(csv.reader([line], delimiter=_delimiter(line)), [])


def broken_line(engine: Engine, file: Path) -> str | None:
    """Return where a CSV file stops being a table, on one line; None when it does not."""
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in column_names(file))
    query = f"read_csv({literal(str(file))}, {_dialect(file)}, auto_detect = false, columns = {{{columns}}})"
    try:
        engine.rows(f"SELECT count(COLUMNS(*)) FROM {query}")
    except EngineError as error:
        line = re.search(r"on Line: (\d+)", str(error))
        count = re.search(r"Columns: (\d+) Found: (\d+)", str(error))
        fields = f": {count[2]} fields where the header has {count[1]}" if count else " cannot be read"
        return f"line {line[1]}{fields}" if line else None
    return None


def _dialect(file: Path) -> str:
    # Left to guess, DuckDB takes a file with one broken line for a table of a single column.
    return (
        f"header = true, delim = {literal(_delimiter(_first_line(file)))}, quote = '\"', escape = '\"', "
        "comment = '', skip = 0, nullstr = ['', 'NA']"
    )


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _first_line(file: Path) -> str:
    if file.suffix.lower() == ".gz":
        with gzip.open(file, "rt", encoding="utf-8-sig") as unpacked:
            return unpacked.readline().rstrip("\r\n")
    with file.open(encoding="utf-8-sig") as text:
        return text.readline().rstrip("\r\n")
