"""A session on the engine that reads tables: the one place that opens DuckDB and translates its errors."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.engine.duckdb import literal, parquet
from proml_kedro.engine.errors import DataError, EngineError, MachineError, MemoryShortageError
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import UserError
from proml_kedro.hardware import duckdb_settings
from proml_kedro.spec.hardware import HardwareSpec

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Row = tuple[Any, ...]

_LONG = 100_000
"""Characters of a query from which on the engine does without :data:`_QUADRATIC`."""
_QUADRATIC = ("common_subexpressions", "statistics_propagation")
"""Optimizers that take time with the square of the number of expressions: of 10,000 columns half a minute."""


@contextmanager
def connect(hardware: HardwareSpec, folder: Path | None = None) -> Iterator[Session]:
    """Open an in-memory session that keeps to the hardware's threads and memory and uses the disk beyond them.

    Args:
        hardware: The machine.
        folder: Where a temporary folder is made, and removed at the end. The system's place when left out.

    Raises:
        UserError: The memory does not suffice, even with the disk.
    """
    import duckdb

    spill = Path(tempfile.mkdtemp(prefix=".duckdb-", dir=folder))
    try:
        # From the start: a connection begins eight threads to read and write, and one for each processor, otherwise.
        config = {"autoinstall_known_extensions": "false", "temp_directory": str(spill), **duckdb_settings(hardware)}
        with duckdb.connect(config=config) as connection:
            session = Session(connection)
            session.run("SET TimeZone = 'UTC'")  # it belongs to an extension that is loaded once there is a connection
            yield session
    except MemoryShortageError as error:
        more = f"{2 * hardware.memory_bytes // 1_000_000}MB"  # what would do is known to nobody before it is tried
        message = f"{hardware.memory} is too little for this much data; try hardware.memory={more}"
        raise UserError.at("hardware.memory", message) from error
    finally:
        shutil.rmtree(spill, ignore_errors=True)


class Session:
    """Runs queries. Every method that runs one raises :class:`~proml_kedro.engine.errors.EngineError` if it fails.

    Args:
        connection: A connection of DuckDB.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._disabled: tuple[str, ...] = ()

    def disable(self, optimizer: str) -> None:
        """Have the engine do without one of its optimizers from now on."""
        self._disabled = tuple(dict.fromkeys((*self._disabled, optimizer)))
        self._set_disabled(self._disabled)

    def _set_disabled(self, optimizers: Sequence[str]) -> None:
        self._connection.execute(f"SET disabled_optimizers = {literal(','.join(optimizers))}")

    @contextmanager
    def _planning(self, query: str) -> Iterator[None]:
        """Plan a long query in time that grows with its length, and translate errors."""
        with _translated():
            if len(query) < _LONG:
                yield
                return
            self._set_disabled((*self._disabled, *_QUADRATIC))
            try:
                yield
            finally:
                self._set_disabled(self._disabled)

    def run(self, query: str) -> None:
        """Run a statement that has no result."""
        with self._planning(query):
            self._connection.execute(query)

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run a query and return its rows.

        Args:
            query: The query.
            parameters: Values of its question marks.
        """
        with self._planning(query):
            result: list[Row] = self._connection.execute(query, list(parameters) or None).fetchall()
        return result

    def row(self, query: str) -> Row:
        """Run a query and return its first row."""
        return self.rows(query)[0]

    def records(self, query: str) -> list[dict[str, Any]]:
        """Run a query and return its rows as dicts by column."""
        with self._planning(query):
            result = self._connection.execute(query)
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def arrow(self, query: str) -> pa.Table:
        """Run a query and return its result as an Arrow table."""
        with self._planning(query):
            return self._connection.sql(query).to_arrow_table()

    def batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its result in record batches.

        Args:
            query: The query.
            size: Rows of a batch, at most.
        """
        with self._planning(query):
            reader = self._connection.sql(query).to_arrow_reader(size)
        try:
            with _translated():
                yield from reader
        except OSError as error:  # which Arrow makes of an error of DuckDB once the first batch is out
            raise DataError(str(error)) from error

    def write_parquet(self, query: str, file: Path) -> int:
        """Run a query, write its result to a Parquet file and return the number of rows."""
        target = literal(str(file))
        return int(self.row(f"COPY ({query}) TO {target} (FORMAT parquet, COMPRESSION zstd)")[0])

    def register(self, name: str, table: Any) -> None:
        """Give a name to an Arrow table or a pandas frame, which is read in place."""
        with _translated():
            self._connection.register(name, table)

    @contextmanager
    def once(self, batches: pa.RecordBatchReader, types: Mapping[str, str]) -> Iterator[Relation]:
        """Give record batches as a relation that can be read once, while the block runs.

        Args:
            batches: The rows.
            types: SQL types of the columns.
        """
        name = "__once"
        self.register(name, batches)
        try:
            yield Relation(name, self, types)
        finally:
            self._connection.unregister(name)

    def relation(self, sql: str) -> Relation:
        """Return what stands after FROM as a relation. Nothing is read."""
        return Relation(sql, self)

    def parquet(
        self, *files: Path, numbered: bool = False, union_by_name: bool = False, partitioned: bool = False
    ) -> Relation:
        """Return Parquet files as one relation. Nothing is read.

        Args:
            files: The files.
            partitioned: Whether folders that are called ``name=value``, up to the root, are columns.
            numbered: Whether to add a column ``file_row_number``, the place of a row in its file, from 0.
            union_by_name: Whether files may lack columns that others have.
        """
        options = ", file_row_number = true" if numbered else ""
        options += ", union_by_name = true" if union_by_name else ""
        return self.relation(parquet(*files, options=options, partitioned=partitioned))

    def columns(self, query: str) -> dict[str, str]:
        """Return names and SQL types of a query's columns. No row is read."""
        return {row[0]: row[1] for row in self.rows(f"DESCRIBE {query}")}


@contextmanager
def _translated() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise MemoryShortageError(str(error)) from error
    except duckdb.IOException as error:
        raise MachineError(str(error)) from error
    except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
        raise DataError(str(error)) from error
    except duckdb.Error as error:
        raise EngineError(str(error)) from error


def parquet_relation(file: Path) -> Any:
    """Return a Parquet file as ``duckdb.DuckDBPyRelation``, of which only what is asked for is read."""
    import duckdb

    return duckdb.read_parquet(str(file), hive_partitioning=False)
