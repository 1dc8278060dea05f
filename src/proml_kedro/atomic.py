"""Writing so that what is there is whole: under another name first, renamed when complete, and no leftovers."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from proml_kedro.errors import Mistake, UserError
from proml_kedro.locks import remove_unless_held, take

_WRITING = ".writing-"
"""How the name of what is not whole yet begins."""

_LOCKED = ".locked-"
"""How the name of the file begins that is locked while a folder is worked on."""

_UNKNOWN, _GONE = "unknown", "gone"
"""In place of the moment when a process started."""


def point(link: Path, folder: Path) -> None:
    """Let a link lead to a folder; at no moment does it lead nowhere."""
    target = os.path.relpath(folder, link.parent)
    if link.is_symlink() and str(link.readlink()) == target:
        return
    temporary = temporary_beside(link)
    temporary.symlink_to(target, target_is_directory=True)
    temporary.replace(link)


def write_whole(file: Path, text: str) -> None:
    """Write a file, or write over it; at no moment is there a part of it."""
    temporary = temporary_beside(file)
    try:
        temporary.write_text(text)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(folder: Path) -> Path:
    """Make up a name of its own beside a folder, that tells on which machine it is written and by which process."""
    return folder.parent / f"{_WRITING}{socket.gethostname()}-{this_process()}-{uuid4().hex[:8]}"


def this_process() -> str:
    """Return the number of this process and its start, as :func:`is_running` takes it."""
    return f"{os.getpid()}.{_started(os.getpid())}"


def lock_beside(folder: Path) -> Path:
    """Name the file that is locked while a folder is worked on by one process or thread alone."""
    return folder.with_name(f"{_LOCKED}{folder.name}")


@contextmanager
def links_lock(data_dir: Path) -> Iterator[bool]:
    """Let one process or thread at a time move the links of a data folder, or free what no link leads to.

    Yields:
        Whether it is so; not where files cannot be locked.

    Raises:
        UserError: Nothing can be written there.
    """
    links = data_dir / "links"
    with cannot_write(links):
        lock = take(lock_beside(links), lambda: None)
    try:
        yield lock is not None
    finally:
        if lock:
            lock.release()


def remove_abandoned(folder: Path, below: bool = True) -> None:
    """Remove what processes of this machine that are gone have left half-written in a folder, and their locks.

    Args:
        folder: The folder, which need not be there.
        below: Whether folders below it are looked through too.
    """
    for parent, folders, files in os.walk(folder):  # unlike glob it puts up with what others remove
        for name in (*folders, *files):
            written = name.removeprefix(_WRITING).removesuffix("-wal").removesuffix("-shm")  # SQLite's logs
            host, _, process = written.rpartition("-")[0].rpartition("-")
            if name.startswith(_WRITING) and host == socket.gethostname() and not is_running(process):
                _remove(Path(parent, name))
            elif name.startswith(_LOCKED):
                remove_unless_held(Path(parent, name))
        if not below:
            return


def _remove(left: Path) -> None:
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)


def rename_unless_there(temporary: Path, folder: Path) -> None:
    """Another thread may have been faster; it has made the same result."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextmanager
def disk_full(folder: Path) -> Iterator[None]:
    """Say in one line that the disk is full, of whatever is written below a folder's parent in the block.

    Raises:
        UserError: It is.
    """
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            message = f"no space left on the disk while writing {folder.parent}; nothing was kept"
            raise UserError(Mistake("data_dir", message)) from error
        raise


@contextmanager
def cannot_write(folder: Path) -> Iterator[None]:
    """Say in one line that nothing can be written beside a folder.

    Raises:
        UserError: It is so.
    """
    try:
        yield
    except OSError as error:
        if _is_disk_full(error):
            raise UserError(Mistake("data_dir", f"no space left on the disk for {folder.parent}")) from error
        raise UserError(Mistake("data_dir", f"cannot write to {folder.parent}: {_reason(error)}")) from error


_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP)


def _reason(error: OSError) -> str:
    """Say what keeps us from writing; what is in the way is named."""
    place = error.filename2 or error.filename
    if place is None or error.errno not in _IN_THE_WAY:
        return str(error.strerror)
    there = next(one for one in (Path(place), *Path(place).parents) if os.path.lexists(one))
    return f"{error.strerror}; look at {there}, and move away what is in the way"


def is_running(process: str) -> bool:
    """Tell whether the process of this machine with a number, and a start behind a dot if known, is still there.

    In a container the numbers begin anew each time, so that soon another process has the number of one that is gone.
    """
    number, _, started = process.partition(".")
    if not number.isdecimal():
        return True  # not a name of ours
    with suppress(PermissionError):
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return False
    now = _started(int(number))
    return now != _GONE and (started in ("", _UNKNOWN) or now in (started, _UNKNOWN))


def _started(number: int) -> str:
    """When a process started, in ticks since the machine did, which no change of the clock moves.

    ``unknown`` where the system does not say, ``gone`` for one that has ended and only waits to be noticed.
    """
    try:
        state, *rest = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _UNKNOWN
    return _GONE if state in ("Z", "X") else rest[18]


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _is_disk_full(error: BaseException) -> bool:
    # DuckDB and Arrow put the system's words into an error of their own; SQLite has its own.
    texts = [*map(os.strerror, _FULL), "database or disk is full"]
    return getattr(error, "errno", None) in _FULL or any(text in str(error) for text in texts)
