"""Where errors become answers: what a user can cause is one line, a fault of ours keeps its traceback, in a file.

Libraries are known by the names of their classes, so that nothing is imported to explain what was never loaded.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from proml_kedro.errors import Mistake, RetriableError, UserError, first_line, masked

_SURROGATE = re.compile("[\ud800-\udfff]")
"""What stands for a byte of a file's name that is no UTF-8."""

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_PASSING = (errno.EAGAIN, errno.EBUSY, errno.ETXTBSY, errno.ESTALE, errno.EINTR, errno.EDEADLK, errno.ENOLCK)

_LIBRARIES = {
    "sqlite3.Error": "SQLite",
    "duckdb.Error": "DuckDB",
    "proml_kedro.EngineError": "the engine",
    "pyarrow.ArrowException": "Arrow",
    "feast.FeastError": "Feast",
    "bentoml.BentoMLException": "BentoML",
    "redis.RedisError": "Redis",
    "kedro.DatasetError": "Kedro's catalog",
    "kedro.BadConfigException": "Kedro's configuration",
    "kedro.MissingConfigException": "Kedro's configuration",
    "kedro.KedroContextError": "Kedro",
    "kedro.KedroCliError": "Kedro",
    "yaml.YAMLError": "YAML",
    "omegaconf.OmegaConfBaseException": "the configuration",
    "zipfile.BadZipFile": "an archive",
    "zlib.error": "a compressed file",
    "lzma.LZMAError": "a compressed file",
}
"""Errors of libraries, by top package and class, that come of files, data, servers and settings."""

_WRAPPERS = ("Kedro", "Kedro's catalog", "Kedro's configuration", "the configuration")
"""Libraries whose errors wrap those of others."""

_AGAIN = ("database is locked", "database table is locked", "Could not set lock", "Conflicting lock", "BusyLoading")
"""What libraries say when another process is in the way."""


def explain(error: BaseException) -> UserError | None:
    """Say in one line what went wrong, if it is something that a user can cause.

    Args:
        error: What a command has raised; the errors that led to it are looked at too.

    Returns:
        The error to show; None for a fault of ours.
    """
    chain = list(_chain(error))
    known = next((one for one in chain if isinstance(one, UserError)), None)
    if known is not None:
        return known
    chain.reverse()  # from the first cause on: what wraps it says less, but for a library that names the place
    chain.sort(key=lambda one: _library_of(one) in (None, *_WRAPPERS))
    return next((found for one in chain if (found := _explain_one(one))), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _explain_one(error: BaseException) -> UserError | None:
    if isinstance(error, MemoryError):
        return _say("there is not enough memory; set hardware.memory and hardware.threads lower, or read less")
    if isinstance(error, UnicodeEncodeError) and _SURROGATE.search(error.object):
        return _say(f"the name {error.object!a} is not text in UTF-8; rename it")
    if isinstance(error, UnicodeEncodeError):
        return _say(f"a text cannot be written as {error.encoding}; set PYTHONUTF8=1 in the environment")
    if isinstance(error, UnicodeError):
        return _say(f"a file is not text in UTF-8: {first_line(error)}; write it in UTF-8, or name its encoding")
    if isinstance(error, EOFError):
        return _say("a file ends too early; it is damaged or was not copied whole")
    if library := _library_of(error):
        return _of_library(library, error, _names(error))
    return _of_system(error) if isinstance(error, OSError) else None


def _of_library(library: str, error: BaseException, names: set[str]) -> UserError:
    text = first_line(error) or type(error).__name__
    unreachable = bool(names & {"redis.ConnectionError", "redis.TimeoutError", "redis.BusyLoadingError"})
    if unreachable or any(words in text for words in _AGAIN):
        return _say(f"{library}: {text}; try again when it is free or reachable", again=True)
    full = "disk is full" in text or "No space left" in text
    advice = "; free some space on the disk" if full else _damaged(library, text)
    return _say(f"{library}: {text}{advice}")


def _damaged(library: str, text: str) -> str:
    damaged = ("not a database", "malformed", "magic bytes", "corrupt", "truncated", "unexpected end")
    found = any(words in text.lower() for words in damaged)
    return "; the file is damaged: remove it, or make it anew with reuse=false" if found else ""


def _of_system(error: OSError) -> UserError | None:
    if isinstance(error, ConnectionError | TimeoutError) or _names(error) & {"socket.gaierror"}:
        return _say(f"a server cannot be reached: {error.strerror or first_line(error)}; try again", again=True)
    place = error.filename or error.filename2
    if error.errno is None:
        return _say(first_line(error)) if first_line(error) else None
    if place is None and error.errno == errno.ENOENT and not _has_folder():
        return _say("the working directory is gone; change into another one")
    if place is None and error.errno == errno.EBADF:
        return _say("standard output or standard error is closed; send it to a file or to /dev/null")
    what = f"{place}: {error.strerror}" if place else str(error.strerror)
    if error.errno in _DISK_FULL:
        return _say(f"no space left on the disk{f' for {place}' if place else ''}; free some, and run again")
    if error.errno in _PASSING:
        return _say(f"{what}; try again", again=True)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _say(f"{what}; allow more with `ulimit -n 4096`")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return _say(f"{what}; give this user the right to it, or name another place")
    return _say(f"{what}; look whether it is there and can be read")


def _has_folder() -> bool:
    """Tell whether the working directory is still there."""
    try:
        return Path.cwd().is_dir()
    except FileNotFoundError:
        return False


def _library_of(error: BaseException) -> str | None:
    names = _names(error)
    return next((words for name, words in _LIBRARIES.items() if name in names), None)


def _names(error: BaseException) -> set[str]:
    """Name the classes of an error, each by its top package: ``pyarrow.ArrowException``."""
    return {f"{one.__module__.partition('.')[0].lstrip('_')}.{one.__name__}" for one in type(error).__mro__}


def _say(message: str, again: bool = False) -> UserError:
    return (RetriableError if again else UserError)(Mistake("", message))


def keep_traceback(error: BaseException) -> Path | None:
    """Write the traceback of a fault into a file that only this user can read; None when nothing can be written."""
    text = masked("".join(traceback.format_exception(error)))
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    try:
        handle, name = tempfile.mkstemp(prefix=f"proml_kedro-{moment}-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError:
        return None
    return Path(name)
