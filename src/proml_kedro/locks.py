"""Locks that one process or thread holds at a time, or several share; a process that is killed lets go of them."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lock:
    """A lock on a file that is there for nothing else.

    Attributes:
        file: The file.
        descriptor: Of the file, opened.
    """

    file: Path
    descriptor: int

    def hold(self, before_waiting: Callable[[], None] | None) -> None:
        """Hold it until it is released.

        Raises:
            BlockingIOError: Another holds it, and is not waited for.
            OSError: The file system has no locks.
            ImportError: Nor has the operating system.
        """
        import fcntl

        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if before_waiting is None:
                raise
            before_waiting()
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def is_there(self) -> bool:
        """Tell whether others would find it: whoever held it before has removed the file."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.file.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go of it, and leave no file."""
        import fcntl

        self.file.unlink(missing_ok=True)  # while it is held: afterwards it may be that of another
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)  # closing alone does not, if a child process has the file open too
        os.close(self.descriptor)


def take(file: Path, before_waiting: Callable[[], None] | None = None) -> Lock | None:
    """Wait for the lock on a file, which is made for it, and return it once it is held.

    Args:
        file: The file, in a folder that is there.
        before_waiting: Called when another holds the lock, before that one is waited for; None to wait for nobody.

    Returns:
        The lock; None when another holds it and is not waited for, or where there are no locks.
    """
    while True:
        lock = Lock(file, os.open(file, os.O_RDWR | os.O_CREAT, 0o666))  # network file systems want it writable
        with ExitStack() as unless_held:
            unless_held.callback(os.close, lock.descriptor)
            try:
                lock.hold(before_waiting)
            except BlockingIOError:
                return None
            except (OSError, ImportError):
                file.unlink(missing_ok=True)
                return None
            if lock.is_there():
                unless_held.pop_all()
                return lock


def remove_unless_held(file: Path) -> None:
    """Remove the file of a lock that a process which was killed has left."""
    with suppress(OSError):
        lock = take(file)
        if lock:
            lock.release()


class NoLocksError(OSError):
    """Files cannot be locked here, by the file system or by the operating system."""


class Claims:
    """Files that are in use, until this object or its process is gone: nobody can :func:`seize` one meanwhile.

    Several may claim one file, whose content may change; where files cannot be locked a claim tells nobody.
    """

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}
        weakref.finalize(self, _close, self._held)

    def hold(self, file: Path, becomes: Path | None = None) -> bool:
        """Claim a file.

        Args:
            file: The file.
            becomes: The name that it is given after this.

        Returns:
            Whether it is there, and was not taken away meanwhile.
        """
        name = becomes or file
        if name in self._held and _is_file(self._held[name], file):
            return True
        descriptor = _share(file)
        if descriptor is None:
            return False
        if name in self._held:  # another file has taken its place
            os.close(self._held[name])
        self._held[name] = descriptor
        return True


def _share(file: Path) -> int | None:
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    with suppress(OSError, ImportError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH)
    if _is_file(descriptor, file):
        return descriptor
    os.close(descriptor)
    return None


def _is_file(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def _close(held: dict[Path, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)
    held.clear()


def seize(file: Path) -> int | None:
    """Open a file that nobody has claimed, so that nobody can until it is closed.

    Returns:
        Its descriptor; None when it is in use.

    Raises:
        NoLocksError: Files cannot be locked here.
        OSError: It is not there, or cannot be read.
    """
    descriptor = _open(file)
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except (OSError, ImportError) as error:
        os.close(descriptor)
        raise NoLocksError(f"files cannot be locked in {file.parent}") from error
    return descriptor


def _open(file: Path) -> int:
    """Open a file to lock it: network file systems want it writable, and who may only read looks all the same."""
    try:
        return os.open(file, os.O_RDWR)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        return os.open(file, os.O_RDONLY)
