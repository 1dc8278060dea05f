"""Locks that one process or thread holds at a time, and that a process which is killed lets go of by itself."""

from __future__ import annotations

import os
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
        """Whether others would find it: whoever held it before has removed the file."""
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
    """The lock on a file, which is made for it, once it is held.

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
