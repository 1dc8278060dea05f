"""What all of the feature engine's SQL needs: a connection held to its limits, quoting, and readable mistakes."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.hardware import duckdb_settings
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.hardware import HardwareSpec

if TYPE_CHECKING:
    import duckdb

TYPES = {"float": "DOUBLE", "int": "BIGINT", "bool": "BOOLEAN", "str": "VARCHAR"}
"""SQL type of each scalar feature type."""


def sql_type(dtype: Dtype) -> str:
    """The SQL type of a feature type."""
    size = vector_size(dtype)
    return TYPES[dtype] if size is None else f"FLOAT[{size}]"


def cast(value: str, dtype: Dtype) -> str:
    """A value as a feature type. A vector is seen to have its size, and then is a list.

    DuckDB 2.0 writes a null of an array type to Parquet so that nobody else can read the file.
    """
    typed = f"CAST({value} AS {sql_type(dtype)})"
    return typed if vector_size(dtype) is None else f"CAST({typed} AS FLOAT[])"


@contextmanager
def connect(hardware: HardwareSpec, folder: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that keeps to the hardware's threads and memory and uses the disk beyond them.

    Args:
        hardware: The machine.
        folder: Where a temporary folder is made, and removed at the end; the system's place when left out.

    Raises:
        UserError: The memory does not suffice, even with the disk.
    """
    import duckdb

    spill = Path(tempfile.mkdtemp(prefix=".duckdb-", dir=folder))
    try:
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
            # One by one: the time zone belongs to an extension that is loaded once there is a connection.
            for name, value in {**duckdb_settings(hardware), "temp_directory": spill}.items():
                connection.execute(f"SET {name} = {literal(str(value))}")
            yield connection
    except duckdb.OutOfMemoryException as error:
        raise UserError.at("hardware.memory", f"{hardware.memory} is too little for this much data") from error
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def quote(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text constant in SQL."""
    return "'" + text.replace("'", "''") + "'"


def enclosed(expression: str) -> str:
    """An expression that can stand inside another one. The line break ends a comment at its end."""
    return f"({expression}\n)"


def parquet(*files: Path, options: str = "") -> str:
    """A Parquet file, or several as one, as a table in SQL."""
    names = ", ".join(literal(str(file)) for file in files)
    return f"read_parquet([{names}]{options})"


def parquet_glob(path: str) -> str:
    """A Parquet file, or a glob of such, as a table in SQL."""
    return f"read_parquet({literal(path)})"


def microseconds(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // timedelta(microseconds=1)


def number(expression: str, dtype: Dtype) -> str:
    """An expression as a feature's SQL type, where not-a-number counts as missing."""
    value = cast(enclosed(expression), dtype)
    return f"nullif({value}, 'nan'::DOUBLE)" if dtype == "float" else value


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Names and SQL types of a relation's columns."""
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}


def find(name: str, columns: Mapping[str, str]) -> str | None:
    """The SQL type of a column, whose case does not matter; None when there is none of that name."""
    return next((type_ for column, type_ in columns.items() if column.lower() == name.lower()), None)


def is_number(type_: str) -> bool:
    """Whether values of a SQL type are numbers."""
    return type_.startswith(("DECIMAL", "FLOAT", "DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "U"))


def is_moment(type_: str) -> bool:
    """Whether values of a SQL type are moments."""
    return type_ == "DATE" or type_.startswith("TIMESTAMP")


def check_expression(
    connection: duckdb.DuckDBPyConnection, relation: str, expression: str, key: str
) -> tuple[str | None, Mistake | None]:
    """The SQL type of an expression over a relation, or what is wrong with it. No row is read.

    Args:
        connection: A database.
        relation: What the expression is over, as it stands after FROM.
        expression: The expression.
        key: Where the expression stands in the configuration.
    """
    import duckdb

    try:
        rows = connection.execute(f"DESCRIBE SELECT {enclosed(expression)} AS value FROM {relation}").fetchall()
    except duckdb.Error as error:
        return None, Mistake(key, explain(error, describe(connection, relation)))
    return str(rows[0][1]), None


def is_machine_trouble(error: Exception) -> bool:
    """Whether it is the memory or the disk that fails, rather than what the user wrote."""
    import duckdb

    return isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException)


def explain(error: Exception, columns: Mapping[str, str] | None = None) -> str:
    """DuckDB's message as one line that shows no values of the data.

    Args:
        error: What DuckDB raised.
        columns: The columns that could have been meant.
    """
    import duckdb

    text = str(error)
    missing = re.search(r'Referenced (?:column|table) "(.+?)" not found', text)
    if missing:
        return unknown("column", missing[1], columns or ())
    line = text.splitlines()[0].partition(" Error: ")[2] or text.splitlines()[0]
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException):
        line = re.sub(r"'[^']*'|\"[^\"]*\"", "…", line)
    suggestion = re.search(r"Did you mean \"(.+?)\"", text)
    return line + (f" Did you mean '{suggestion[1]}'?" if suggestion and "does not exist" in line else "")
