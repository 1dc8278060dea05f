"""A session on an engine that speaks Spark's protocol: the one place that opens it and translates its errors."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.engine.errors import DataError, EngineError, MachineError, MemoryShortageError
from proml_kedro.engine.spark.place import KEY, Place, check_engine, place_of
from proml_kedro.errors import UserError
from proml_kedro.spec.hardware import HardwareSpec

if TYPE_CHECKING:
    import pyarrow as pa

_SECONDS = 60
"""Within which a server must answer a first question; a busy machine's JVM takes half of it."""

_LEAST_SPARK = (4, 2)


class DroppedSortError(RuntimeError):
    """Rows that an engine has returned in another order than the one that it was asked for, or some of them twice."""


@dataclass(frozen=True)
class SparkSession:
    """Session that runs queries.

    Attributes:
        name: What runs them, with its version.
        client: The session of Spark's client.
    """

    name: str
    client: Any

    def table(self, name: str, file: Path) -> None:
        """Give a name to a Parquet file, which its workers read.

        Raises:
            EngineError: They cannot see it: to Sail a file that is not there is an empty table.
        """
        import pyarrow.parquet as pq

        rows = pq.read_metadata(file).num_rows
        with _translated():
            self.client.read.parquet(str(file.resolve())).createOrReplaceTempView(name)
        (found,) = self.rows(f"SELECT count(*) AS n FROM {name}")
        if found["n"] != rows:
            seen = f"its workers see {found['n']:,} of the {rows:,} rows of {file}"
            raise EngineError(f"{seen}; data_dir has to be on a file system that they share")

    def batches(self, query: str) -> Iterator[pa.Table]:
        """Run a query and return its result in parts, in the order that the query asks for.

        Raises:
            EngineError: It cannot be run.
        """
        import pyarrow as pa

        with _translated():
            frame = self.client.sql(query)
            schema = _schema(frame)
            plan = frame._plan.to_proto(self.client.client)
            yield schema.empty_table()
            for part in self.client.client.to_table_as_iterator(plan, {}):
                if isinstance(part, pa.Table):
                    yield part.cast(schema)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Run a query with a small result and return its rows by column."""
        import pyarrow as pa

        rows: list[dict[str, Any]] = pa.concat_tables(self.batches(query)).to_pylist()
        return rows


def _schema(frame: Any) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(frame.schema, timezone="UTC")


@contextmanager
def connect_engine(hardware: HardwareSpec) -> Iterator[SparkSession]:
    """Open a session on the engine of the hardware.

    Raises:
        UserError: It is not installed, does not answer, or is too old; or the memory does not suffice.
    """
    assert hardware.engine is not None  # noqa: S101 - for the type checker: who has none does not come here
    check_engine(hardware)
    place = place_of(hardware.engine)
    _silence()
    try:
        with _server(place, hardware) as url:
            client = _asked(place, lambda: _open(url))
            try:
                yield SparkSession(_name(place, client), client)
            finally:
                client.stop()
    except MemoryShortageError as error:
        more = f"{2 * hardware.memory_bytes // 1_000_000}MB"
        message = f"{hardware.memory} is too little for this much data; try hardware.memory={more}"
        raise UserError.at("hardware.memory", message) from error


@contextmanager
def blaming(session: SparkSession) -> Iterator[None]:
    """Say on one line what an engine could not do in the block.

    Raises:
        UserError: It has failed, other than for want of memory.
    """
    try:
        yield
    except MachineError:
        raise
    except EngineError as error:
        raise UserError.at(KEY, f"{session.name} has failed: {str(error).splitlines()[0]}") from error


@contextmanager
def _server(place: Place, hardware: HardwareSpec) -> Iterator[str]:
    if place.url is not None:
        yield place.url
        return
    settings = {
        "RUST_LOG": "error",
        "SAIL_EXECUTION__DEFAULT_PARALLELISM": str(hardware.threads),
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(hardware.memory_bytes),
    }
    with _environment(settings):  # it is read when the server starts
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer(ip="127.0.0.1", port=0)
        server.start(background=True)
    try:
        yield f"sc://127.0.0.1:{server.listening_address[1]}"
    finally:
        server.stop()


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _silence() -> None:
    """Keep the client from writing each failed query with its stack to the terminal; its error is translated."""
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        logging.getLogger(name).disabled = True


def _open(url: str) -> Any:
    with _with_main_file():
        from pyspark.sql.connect.session import SparkSession as Client

        client = Client.builder.remote(url).create()
        client.conf.set("spark.sql.session.timeZone", "UTC")
    return client


@contextmanager
def _with_main_file() -> Iterator[None]:
    """Let a process whose main module is no file import the client, which would take it for its own doctests and exit.

    Such are ``python -c``, and workers that are started so.
    """
    main = sys.modules["__main__"]
    if main.__spec__ is not None or hasattr(main, "__file__"):
        yield
        return
    main.__file__ = "<string>"
    try:
        yield
    finally:
        del main.__file__


def _name(place: Place, client: Any) -> str:
    """What answers, with its version; Sail tells its own, which are below 1."""
    found = str(_asked(place, lambda: client.sql("SELECT version() AS v").toArrow()["v"][0].as_py()))
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if numbers[:1] == (0,):
        return f"Sail {found}"
    if numbers < _LEAST_SPARK:
        raise UserError.at(place.key, f"{place.in_words} is Spark {found}; 4.2 is the oldest that is supported")
    return f"Spark {found.split()[0]}"


def _asked(place: Place, question: Callable[[], Any]) -> Any:
    """Ask something that a server answers at once; the client would try for ten minutes."""
    answers: list[Any] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(question())
        except BaseException as error:  # noqa: BLE001 - whatever it is, an exit too, it is said on one line
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if answers:
        return answers[0]
    reason = str(errors[0]).splitlines()[0] if errors and str(errors[0]) else f"no answer within {_SECONDS} s"
    reason = re.sub(r"token=[^;\s]+", "token=…", reason)
    raise UserError.at(place.key, f"{place.in_words} is no Spark Connect server that can be used: {reason}")


@contextmanager
def _translated() -> Iterator[None]:
    from pyspark.errors import ArithmeticException, NumberFormatException, PySparkException

    try:
        yield
    except PySparkException as error:
        text = str(error)
        if re.search(r"Resources exhausted|OutOfMemory", text):
            raise MemoryShortageError(text) from error
        if isinstance(error, ArithmeticException | NumberFormatException):
            raise DataError(text) from error
        raise EngineError(text) from error
