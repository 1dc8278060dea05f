"""The words of DuckDB's SQL: names, constants, types, and its messages made readable."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from proml_kedro.engine.errors import DataError, EngineError
from proml_kedro.errors import unknown
from proml_kedro.spec.dtype import Dtype, vector_size

TYPES = {"float": "DOUBLE", "int": "BIGINT", "bool": "BOOLEAN", "str": "VARCHAR"}
"""SQL type of each scalar feature type."""

RESERVED_WORDS = re.compile(
    r"all|analyse|analyze|and|anti|any|array|as|asc|asof|asymmetric|at|authorization|binary|both|by|case|cast|"
    r"check|collate|collation|column|concurrently|constraint|create|cross|default|deferrable|desc|describe|distinct|do|"
    r"else|end|except|false|fetch|for|foreign|freeze|from|full|glob|group|having|ilike|in|initially|inner|"
    r"intersect|into|is|isnull|join|lambda|lateral|leading|left|like|limit|natural|not|notnull|null|offset|on|"
    r"only|or|order|outer|overlaps|pivot|pivot_longer|pivot_wider|placing|positional|primary|qualify|"
    r"references|returning|right|select|semi|show|similar|some|summarize|symmetric|table|tablesample|then|to|"
    r"trailing|true|union|unique|unpack|unpivot|using|variadic|verbose|when|where|window|with"
)
"""Words that mean something of their own in the engine's SQL."""


def sql_type(dtype: Dtype) -> str:
    """Return the SQL type of a feature type.

    >>> sql_type("int"), sql_type("vector[3]")
    ('BIGINT', 'FLOAT[3]')
    """
    size = vector_size(dtype)
    return TYPES[dtype] if size is None else f"FLOAT[{size}]"


def cast(value: str, dtype: Dtype) -> str:
    """Return a value cast to a feature type. A vector's size is checked; the result is a list.

    DuckDB 2.0 writes a null of an array type to Parquet so that no other reader can read the file.
    """
    typed = f"CAST({value} AS {sql_type(dtype)})"
    return typed if vector_size(dtype) is None else f"CAST({typed} AS FLOAT[])"


def quote(name: str) -> str:
    """Return an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text constant in SQL."""
    return "'" + text.replace("'", "''") + "'"


def moment_literal(moment: datetime) -> str:
    """Return a moment in SQL; without a time zone it is UTC."""
    return f"CAST({literal(moment.isoformat())} AS TIMESTAMPTZ)"


def enclosed(expression: str) -> str:
    """Return an expression that can stand inside another one. The line break ends a comment at its end."""
    return f"({expression}\n)"


def file_literal(file: Path) -> str:
    """Return the name of one file in SQL. What stands for other names in a glob stands for itself.

    >>> file_literal(Path("v*.csv"))
    "'v[*].csv'"
    """
    return literal(re.sub(r"[*?\[]", r"[\g<0>]", str(file)))


NO_PARTITIONS = "hive_partitioning = false"
"""Option of DuckDB's readers: a folder that is called ``name=value`` is a folder, and no column of what lies in it."""


def files_literal(files: Sequence[Path]) -> str:
    """Return the names of files in SQL."""
    return f"[{', '.join(map(file_literal, files))}]"


def parquet(*files: Path, options: str = "", partitioned: bool = False) -> str:
    """Return a Parquet file, or several as one, as a table in SQL.

    Args:
        files: The files.
        options: Further options of the reader, each with a comma before it.
        partitioned: Whether folders that are called ``name=value``, up to the root, are columns.
    """
    return f"read_parquet({files_literal(files)}{options}, hive_partitioning = {str(partitioned).lower()})"


def parquet_glob(path: str) -> str:
    """Return a Parquet file, or a glob of such where there is no file of that very name, as a table in SQL."""
    name = file_literal(Path(path)) if Path(path).is_file() else literal(path)
    return f"read_parquet({name}, {NO_PARTITIONS})"


def microseconds(duration: timedelta) -> int:
    """Return a duration in whole microseconds."""
    return duration // timedelta(microseconds=1)


def number(expression: str, dtype: Dtype) -> str:
    """Return an expression as a feature's SQL type, where not-a-number counts as missing."""
    value = cast(enclosed(expression), dtype)
    return f"nullif({value}, 'nan'::DOUBLE)" if dtype == "float" else value


def find(name: str, columns: Mapping[str, str]) -> str | None:
    """Return the SQL type of a column, whose case does not matter. None when there is none of that name."""
    return next((type_ for column, type_ in columns.items() if column.lower() == name.lower()), None)


def is_number(type_: str) -> bool:
    """Return whether values of a SQL type are numbers."""
    return type_.startswith(("DECIMAL", "FLOAT", "DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "U"))


def is_moment(type_: str) -> bool:
    """Return whether values of a SQL type are moments."""
    return type_ == "DATE" or type_.startswith("TIMESTAMP")


def explain(error: EngineError, columns: Mapping[str, str] | None = None) -> str:
    """Return the engine's message as one line that shows no values of the data.

    Args:
        error: What the engine raised.
        columns: The columns that could have been meant.
    """
    text = str(error)
    missing = re.search(r'Referenced (?:column|table) "(.+?)" not found', text)
    if missing:
        return unknown("column", missing[1], columns or ())
    line = text.splitlines()[0].partition(" Error: ")[2] or text.splitlines()[0]
    if isinstance(error, DataError):
        line = re.sub(r"'[^']*'|\"[^\"]*\"|(?<=value )\S+", "…", line)
    suggestion = re.search(r"Did you mean \"(.+?)\"", text)
    return line + (f" Did you mean '{suggestion[1]}'?" if suggestion and "does not exist" in line else "")


def reserved_columns(expression: str, columns: Iterable[str]) -> list[str]:
    """Return the columns that stand without quotes in an expression whose names are words of SQL.

    >>> reserved_columns("to_timestamp(at) + 'at'", ["at", "order"]), reserved_columns('"at" + 1', ["at"])
    (['at'], [])

    Args:
        expression: Which the engine cannot parse.
        columns: Names of columns.
    """
    bare = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", " ", expression)
    words = {one.lower() for one in re.findall(r"\w+", bare)}
    return [one for one in columns if one.lower() in words and RESERVED_WORDS.fullmatch(one.lower())]
