"""What comes out of a command when something is raised in it: one line, and nothing secret."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from proml_kedro.commands.base import Command
from proml_kedro.commands.boundary import explain
from proml_kedro.errors import RetriableError, UserError, hide, masked


def outcome(raises: Callable[[], object]) -> tuple[int, list[str]]:
    """Exit code and lines of a command in which something is raised."""
    done = CliRunner().invoke(Command("x", callback=lambda: raises()), [])
    assert done.stdout == ""
    return done.exit_code, done.stderr.splitlines()


def raised(error: BaseException) -> Callable[[], object]:
    def raises() -> object:
        raise error

    return raises


def locked(folder: Path) -> None:
    """Write to a database that another connection is writing to."""
    one, other = (sqlite3.connect(folder / "a.db", timeout=0, isolation_level=None) for _ in range(2))
    try:
        one.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE a (b)")
    finally:
        one.close()
        other.close()


def not_a_database(folder: Path) -> None:
    (folder / "b.db").write_bytes(b"x" * 5000)
    connection = sqlite3.connect(folder / "b.db")
    try:
        connection.execute("SELECT * FROM a")
    finally:
        connection.close()


def duckdb_error(folder: Path) -> None:
    import duckdb

    (folder / "c.parquet").write_bytes(b"PAR1 nothing")
    duckdb.sql(f"SELECT * FROM read_parquet('{folder / 'c.parquet'}')").fetchall()


def arrow_error(folder: Path) -> None:
    import pyarrow.parquet as pq

    (folder / "d.parquet").write_bytes(b"x" * 100)
    pq.read_table(folder / "d.parquet")


def redis_error(folder: Path) -> None:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    Redis(port=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)).ping()


def catalog_error(folder: Path) -> None:
    from proml_kedro.datasets import ArtifactDataset

    ArtifactDataset(str(folder / "nothing")).load()


def engine_error(folder: Path) -> None:
    from proml_kedro.engine.errors import MemoryShortageError

    raise MemoryShortageError("could not allocate block of size 1MB")


def name_of_bytes(folder: Path) -> None:
    """List a folder that holds a file whose name is no UTF-8, and write that name."""
    (folder / os.fsdecode(b"\xff.parquet")).write_bytes(b"x")
    next(folder.iterdir()).name.encode()


def without_a_working_directory(folder: Path) -> None:
    here = Path.cwd()
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    try:
        (folder / "gone").rmdir()
        with pytest.raises(FileNotFoundError) as caught:
            Path.cwd()
        explained = explain(caught.value)
    finally:
        os.chdir(here)
    raise explained or AssertionError("a fault")


def damaged_gzip(folder: Path) -> None:
    (folder / "e.gz").write_bytes(gzip.compress(b"a" * 10_000)[:-20])
    with gzip.open(folder / "e.gz") as stream:
        stream.read()


def damaged_zip(folder: Path) -> None:
    (folder / "f.zip").write_bytes(b"PK nothing")
    zipfile.ZipFile(folder / "f.zip")


USERS: list[tuple[Callable[[Path], object], int, str]] = [
    (lambda folder: (folder / "gone").read_text(), 2, "gone: No such file or directory; look whether it is there"),
    (lambda folder: folder.read_text(), 2, "Is a directory"),
    (lambda folder: (folder / ("x" * 300)).read_text(), 2, "File name too long"),
    (
        raised(PermissionError(errno.EACCES, "Permission denied", "/data/x")),
        2,
        "/data/x: Permission denied; give this user",
    ),
    (raised(OSError(errno.EROFS, "Read-only file system", "/data")), 2, "/data: Read-only file system; give this user"),
    (
        raised(OSError(errno.ENOSPC, "No space left on device", "/data/x")),
        2,
        "no space left on the disk for /data/x; free some",
    ),
    (raised(OSError(errno.EIO, "Input/output error", "/data/x")), 2, "/data/x: Input/output error"),
    (raised(OSError(errno.EMFILE, "Too many open files")), 2, "Too many open files; allow more with `ulimit -n"),
    (raised(OSError(errno.ESTALE, "Stale file handle", "/nfs/x")), 75, "/nfs/x: Stale file handle; try again"),
    (
        raised(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
        75,
        "cannot be reached: Connection refused",
    ),
    (raised(TimeoutError("timed out")), 75, "a server cannot be reached: timed out; try again"),
    (raised(MemoryError()), 2, "there is not enough memory; set hardware.memory"),
    (lambda folder: b"\xff\xfe".decode(), 2, "a file is not text in UTF-8: 'utf-8' codec can't decode byte 0xff"),
    (lambda folder: "…".encode("ascii"), 2, "a text cannot be written as ascii; set PYTHONUTF8=1"),
    (name_of_bytes, 2, "the name '\\udcff.parquet' is not text in UTF-8; rename it"),
    (without_a_working_directory, 2, "the working directory is gone; change into another one"),
    (raised(OSError(errno.EBADF, "Bad file descriptor")), 2, "standard output or standard error is closed; send it"),
    (raised(EOFError("No data left in file")), 2, "a file ends too early"),
    (damaged_gzip, 2, "a file ends too early"),
    (damaged_zip, 2, "an archive: File is not a zip file"),
    (lambda folder: zlib.decompress(b"x"), 2, "a compressed file: Error -5"),
    (lambda folder: lzma.decompress(b"xyz"), 2, "a compressed file: "),
    (locked, 75, "SQLite: database is locked; try again"),
    (not_a_database, 2, "SQLite: file is not a database; the file is damaged: remove it"),
    (duckdb_error, 2, "DuckDB: "),
    (arrow_error, 2, "the file is damaged: remove it, or make it anew with reuse=false"),
    (redis_error, 75, "Redis: Error 111 connecting to localhost:1. Connection refused"),
    (catalog_error, 2, "Kedro's catalog: nothing at "),
    (engine_error, 2, "the engine: could not allocate block"),
]


@pytest.mark.parametrize(("cause", "code", "words"), USERS, ids=[f"{i}-{one[2][:25]}" for i, one in enumerate(USERS)])
@pytest.mark.parametrize("depth", [0, 2])
def test_what_a_user_can_cause_is_one_line(tmp_path: Path, cause, code, words, depth):
    def raises(left: int = depth) -> None:
        if not left:
            cause(tmp_path) if cause.__name__ != "raises" else cause()
            return
        try:
            raises(left - 1)
        except Exception as error:
            raise RuntimeError("while a step was at work") from error

    found, lines = outcome(raises)
    assert found == code, lines
    assert len(lines) == 1, lines
    assert words in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("feast.errors", "FeastObjectNotFoundException", "Feast: no feature view 'a'"),
        ("bentoml.exceptions", "InvalidArgument", "BentoML: no feature view 'a'"),
        ("kedro.io", "DatasetNotFoundError", "Kedro's catalog: no feature view 'a'"),
    ],
)
def test_errors_of_heavy_libraries_are_one_line(module, name, words):
    import importlib

    error = getattr(importlib.import_module(module), name)("no feature view 'a'\nand more")
    assert outcome(raised(error)) == (2, [words])


@pytest.mark.parametrize(
    "error", [KeyError("a"), ValueError("b\nc"), AssertionError(), RecursionError("deep"), TypeError()]
)
def test_a_fault_of_ours_is_one_line_and_keeps_its_traceback_in_a_file(tmp_path: Path, monkeypatch, error):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, [line] = outcome(raised(error))
    assert code == 70
    assert line.startswith(type(error).__name__)
    assert f"a fault of the program, at {__file__}:" in line
    [file] = tmp_path.iterdir()
    assert line.endswith(f"its traceback is in {file}")
    assert "Traceback (most recent call last)" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0, "nobody else reads it"


def test_where_nothing_can_be_written_the_fault_is_said_all_the_same(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    code, [line] = outcome(raised(KeyError("a")))
    assert code == 70
    assert line.endswith("its traceback could not be written")


def test_whether_trying_again_can_help_is_a_type(tmp_path: Path):
    again = explain(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
    never = explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "x"))
    assert type(again) is RetriableError
    assert type(never) is UserError
    assert explain(ValueError("ours")) is None


def test_a_mistake_that_was_wrapped_is_what_is_shown():
    def raises() -> None:
        try:
            raise UserError.at("seed", "must be a number")
        except UserError as error:
            raise RuntimeError("in a node") from error

    assert outcome(raises) == (2, ["seed: must be a number"])


def test_a_reader_that_closes_our_output_ends_the_command_quietly():
    code = (
        "from proml_kedro.commands.base import Command\nimport click\n"
        "def many():\n    [click.echo('x' * 1000) for _ in range(10_000)]\n"
        "Command('x', callback=many).main([])"
    )
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -c \"$CODE\" | head -1"],
        env={**os.environ, "CODE": code}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "x" * 1000 + "\n"
    assert done.stderr == ""


def test_a_hidden_value_is_in_no_message_and_no_traceback(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("proml_kedro.errors._HIDDEN", {})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    hide("hunter-2-hunter", "${oc.env:X}")
    hide("/a/path", "path")
    hide("12345678", "number")
    assert masked("see /a/path and 12345678") == "see /a/path and 12345678"
    _code, [line] = outcome(raised(ValueError("redis://me:pw@host says hunter-2-hunter")))
    [file] = tmp_path.iterdir()
    for text in (line, file.read_text()):
        assert "hunter" not in text
        assert "pw@" not in text
        assert "${oc.env:X}" in text
    with pytest.raises(click.ClickException) as caught:
        raise explain(FileNotFoundError(2, "No such file", "hunter-2-hunter.csv")) or AssertionError
    assert "hunter" not in str(caught.value)
