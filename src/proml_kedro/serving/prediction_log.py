"""What was asked and answered, as Parquet files: for health checks and for learning once labels are known.

An answer is sent when its record is in a file of lines (the spool), which outlives a killed process. From time to time
the spool becomes a Parquet file: written under another name, brought to the disk, renamed. So a reader sees whole files
only, and a row is in exactly one of them. Spools of processes that are gone are taken over by any other one.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import orjson

from proml_kedro.bundle import Bundle
from proml_kedro.errors import UserError
from proml_kedro.serving.log_records import LogColumns, Record, read_spool
from proml_kedro.spec import PredictionLogSpec

logger = logging.getLogger(__name__)

_SPOOL, _ASIDE, _PARQUET = ".spool-", ".unreadable-", "predictions-"
_MOST_BYTES = 256 << 20
"""Of spools that could not become Parquet; beyond it rows are lost, and counted."""

_MOST_ROWS = 50_000
"""Of one file, about."""


class PredictionLog:
    """Log of predictions in a folder, which several processes may share.

    Args:
        folder: Where to; made, readable for its owner only.
        columns: Of the files.
        every: How long rows may wait for their Parquet file.
        keep: After which files are removed; None to keep them.

    Attributes:
        on_loss: Told how many rows could not be logged.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, folder: Path, columns: LogColumns, every: timedelta, keep: timedelta | None) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._columns = folder, columns
        self._keep = keep
        self.on_loss: Callable[[int], None] = lambda rows: None
        self._lock = threading.Lock()
        self._spool: tuple[Path, int] | None = None
        self._rows = self._size = self._waiting = 0
        self._pending: list[tuple[Path, int, int]] = []
        self._has_failed = False
        self._is_full, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, args=(every.total_seconds(),), name="log", daemon=True)
        self._thread.start()

    def write(self, record: Record) -> None:
        """Add the rows of a request; once this returns they outlive the process."""
        content = orjson.dumps(record.content(self._columns), option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
        with self._lock:
            try:
                self._append(content)
            except OSError as error:
                self.on_loss(record.rows)
                self._warn(error)
                return
            self._rows += record.rows
            if self._rows >= _MOST_ROWS:
                self._is_full.set()

    def _append(self, content: bytes) -> None:
        if self._waiting + self._size + len(content) > _MOST_BYTES:
            raise OSError(errno.ENOSPC, "too much waits to be written")
        if self._spool is None:
            self._spool = self._opened()
        _put(self._spool[1], content, self._size)
        self._size += len(content)

    def _opened(self) -> tuple[Path, int]:
        """Begin a spool, which is locked as long as this process lives."""
        path = self._folder / f"{_SPOOL}{time.time_ns():020d}-{uuid4().hex[:12]}"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        head = self._columns.head()
        try:
            _put(handle, head, 0)
        except OSError:
            os.close(handle)
            path.unlink()
            raise
        self._size, self._rows = len(head), 0
        return path, handle

    def _warn(self, error: Exception) -> None:
        if not self._has_failed:
            logger.warning("predictions cannot be logged: %s", getattr(error, "strerror", None) or type(error).__name__)
        self._has_failed = True

    def close(self) -> None:
        """Make Parquet of all that is there, and end."""
        self._is_over = True
        self._is_full.set()
        self._thread.join()

    def _run(self, every: float) -> None:
        is_last = False
        while not is_last:
            self._is_full.wait(every)
            self._is_full.clear()
            is_last = self._is_over  # nothing is written after that, so this turn takes all
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 (the next turn may do better; rows stay in their spools)
                self._warn(error)

    def _turn(self) -> None:
        with self._lock:
            if self._spool is not None:
                self._pending.append((*self._spool, self._size))
                self._waiting += self._size
                self._spool, self._size, self._rows = None, 0, 0
        for path in self._folder.glob(f"{_SPOOL}*"):
            if handle := _take_over(path):
                with self._lock:
                    self._pending.append((path, handle, 0))
        for one in list(self._pending):
            path, handle, size = one
            try:
                self._convert(path)
            except (ValueError, TypeError) as error:  # no column can hold it: others need not wait for that
                aside = path.rename(path.with_name(path.name.replace(_SPOOL, _ASIDE, 1)))
                logger.error("%s cannot become Parquet and is left as it is: %s", aside, type(error).__name__)
            os.close(handle)
            self._pending.remove(one)
            with self._lock:
                self._waiting -= size
            self._has_failed = False
        self._forget()

    def _convert(self, spool: Path) -> None:
        """Make a Parquet file of a spool; doing it once more makes the same file."""
        import pyarrow.parquet as pq

        found = read_spool(spool.read_bytes())
        if found is None:  # its process was killed before there was any record
            spool.unlink()
            return
        table, broken = found
        if broken:  # written half by a process that was killed, before it answered
            logger.warning("%d records of %s were not whole", broken, spool.name)
        if table.num_rows:
            name = spool.name.removeprefix(_SPOOL)
            part, file = self._folder / f".{name}.part", self._folder / f"{_PARQUET}{name}.parquet"
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                pq.write_table(table, stream)
                stream.flush()
                os.fsync(stream.fileno())
            part.rename(file)
            _fsync(self._folder)
        spool.unlink()

    def _forget(self) -> None:
        if self._keep is None:
            return
        oldest = time.time() - self._keep.total_seconds()
        for file in self._folder.glob(f"{_PARQUET}*.parquet"):
            with suppress(OSError):
                if file.stat().st_mtime < oldest:
                    file.unlink()


def open_log(spec: PredictionLogSpec, bundle: Bundle, is_shadow: bool = False) -> PredictionLog:
    """Open the log of a bundle's predictions, which nobody gets where it is a shadow.

    Raises:
        UserError: Its folder cannot be made.
    """
    given = [one for step in bundle.graph.plan.steps for one in step.gives]
    columns = LogColumns.of(bundle.manifest, bundle.traced, given, is_shadow)
    try:
        return PredictionLog(Path(spec.folder), columns, spec.every, spec.keep)
    except OSError as error:
        message = f"the folder '{spec.folder}' cannot be made: {error.strerror}"
        raise UserError.at("serving.predictions.folder", message) from error


def _put(handle: int, content: bytes, size: int) -> None:
    written = os.write(handle, content)
    if written < len(content):  # the disk is full: half a record is none
        os.ftruncate(handle, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _take_over(spool: Path) -> int | None:
    """Take the spool of a process that is gone; None where there is one."""
    try:
        handle = os.open(spool, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), spool.stat()):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _fsync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
