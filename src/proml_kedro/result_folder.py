"""The folder of a result: filled under another name, renamed when complete, and listed in a file beside it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from proml_kedro.atomic import cannot_write, disk_full, lock_beside, rename_unless_there, temporary_beside
from proml_kedro.locks import Claims, seize, take

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LISTED = ".files"
_FINGERPRINT = re.compile("[0-9a-f]{16}")
"""End of the name of the file that lists a result."""

_NOTHING = "null"
"""Content of the file that lists a result which was found damaged."""

_LISTING = TypeAdapter(dict[str, tuple[int, str]])
"""Of each file: its size, and the SHA-256 of its content."""


@contextmanager
def replacing(folder: Path, claims: Claims, keep: bool = False) -> Iterator[Path]:
    """Give a folder to fill, which takes the place of ``folder`` when the block ends.

    Args:
        folder: The result's.
        claims: By which it is in use from the moment that it is there.
        keep: Whether a whole result that another run has put there meanwhile stays: that run reads from it.
    """
    temporary, old, listing = (temporary_beside(folder) for _ in range(3))
    with cannot_write(folder):
        temporary.mkdir(parents=True)
    try:
        with disk_full(folder):
            yield temporary
            listing.write_text(json.dumps(_contents(temporary)))  # while a full disk can still keep nothing
            with _one_at_a_time(folder):
                if not (keep and claims.hold(_listing(folder)) and is_whole(folder)):
                    claims.hold(listing, becomes=_listing(folder))
                    with suppress(FileNotFoundError):
                        folder.rename(old)
                    rename_unless_there(temporary, folder)
                    listing.replace(_listing(folder))
    finally:
        listing.unlink(missing_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process or thread at a time put a result into its place."""
    lock = take(lock_beside(_listing(folder)), lambda: None)
    try:
        yield
    finally:
        if lock:
            lock.release()


@contextmanager
def checkpoints_for(folder: Path, name: str, wait: bool) -> Iterator[Path]:
    """Give the folder for checkpoints of a result, which nobody else has while the block runs.

    Args:
        folder: Of the result.
        name: What the log calls it.
        wait: Whether to wait for whoever has that folder; otherwise, as where files cannot be locked, it is one of
            this run's own, of which nothing stays.
    """
    shared, lock = folder.with_name(f"{folder.name}.unfinished"), None
    if wait or shared.exists():
        waiting = partial(logger.info, "%s: another run is computing it; waiting for that one", name)
        with cannot_write(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = take(lock_beside(folder), waiting if wait else None)
    if wait and lock is None:
        logger.warning("%s: files cannot be locked here, so if it is stopped, the next run begins afresh", name)
    checkpoints = shared if lock else temporary_beside(folder)
    try:
        yield checkpoints
    finally:
        if lock:
            lock.release()
        else:
            shutil.rmtree(checkpoints, ignore_errors=True)


def _listing(folder: Path) -> Path:
    """Return the file beside a result that lists its content; a result without one is not whole."""
    return folder.with_name(f"{folder.name}{_LISTED}")


def listed_folders(root: Path) -> list[Path]:
    """Return the folders, there or not, of all results below a folder that a file beside them lists.

    Raises:
        OSError: A folder cannot be looked into: nobody can say what is in it.
    """
    found = []
    for parent, folders, files in os.walk(root, onerror=raise_unless_gone):
        folders[:] = [one for one in folders if not _FINGERPRINT.fullmatch(one)]
        listings = (Path(parent, name) for name in files if name.endswith(_LISTED))
        found += [one.with_suffix("") for one in listings if _FINGERPRINT.fullmatch(one.stem)]
    return sorted(found)


def raise_unless_gone(error: OSError) -> None:
    """Raise what keeps :func:`os.walk` from a folder, which it would leave out; not where others have removed it."""
    if not isinstance(error, FileNotFoundError):
        raise error


def record_file(folder: Path) -> Path:
    """Return the file beside a result that says what it was made from."""
    return folder.with_name(f"{folder.name}.made")


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file in a folder. Files that another run removes meanwhile are omitted."""
    sizes = {}
    for parent, _, names in os.walk(folder):
        for file in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):
                sizes[file.relative_to(folder).as_posix()] = file.stat().st_size
    return sizes


def _contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Return size and digest of each file in a folder."""
    return {name: (size, _sha256(folder / name)) for name, size in _sizes(folder).items()}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def is_whole(folder: Path) -> bool:
    """Tell whether a result is there with every file that was written, each of its size. Nothing of them is read."""
    listing = read_checked(_listing(folder), _LISTING)
    if listing is None or not folder.is_dir():
        return False
    found = _sizes(folder)
    return all(found.get(name) == size for name, (size, _) in listing.items())


def find_damage(folder: Path, only: str | None = None) -> str | None:
    """Read the files of a result; return the name of the first that is not what was written, None when all are.

    What is not listed at all, as what a killed run has left, is damaged too.

    Args:
        folder: The result's.
        only: The one file to read; None for every one.
    """
    listing = read_checked(_listing(folder), _LISTING)
    if listing is None:
        return _listing(folder).name
    if only is not None and only not in listing:
        return only
    for name in [only] if only is not None else listing:
        _, digest = listing[name]
        try:
            if _sha256(folder / name) != digest:
                return name
        except OSError:
            return name
    return None


def disown(folder: Path) -> None:
    """Let a damaged result be none, so that whoever wants it makes it again.

    The file that lists it stays, with nothing in it: by that file whoever still reads the result has claimed it.
    """
    with cannot_write(folder), suppress(FileNotFoundError), _listing(folder).open("r+") as listing:
        listing.write(_NOTHING)
        listing.truncate()


def is_disowned(folder: Path) -> bool:
    """Tell whether a result was found damaged, and is none any more."""
    try:
        return _listing(folder).read_text() == _NOTHING
    except (OSError, ValueError):
        return False


def claim(folder: Path, claims: Claims) -> bool:
    """Say that a result is in use, and tell whether it is whole."""
    return claims.hold(_listing(folder)) and is_whole(folder)


def claim_around(path: Path, claims: Claims) -> Path:
    """Say that the result which a folder is, or lies in, is in use; return the folder that links lead to now.

    What lies in no store, such as a copy, is nobody's to free and is not claimed.
    """
    folder: Path | None = None
    while folder != (folder := path.resolve()):  # again where a link has moved, since its result may be gone
        results = (one for one in (folder, *folder.parents) if one.name and _listing(one).is_file())
        if (result := next(results, None)) and claims.hold(_listing(result)):
            break
    return folder


def made_at(folder: Path) -> float | None:
    """Tell when a result was made, in seconds since 1970; None of one that nothing lists."""
    try:
        return _listing(folder).stat().st_mtime
    except OSError:
        return None


def is_in_use(folder: Path) -> bool:
    """Tell whether a run, or a service, uses a result.

    Raises:
        NoLocksError: Files cannot be locked here, so that nobody can tell.
    """
    try:
        descriptor = seize(_listing(folder))
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def remove_unless_used(folder: Path) -> bool:
    """Remove a result, and what is beside it, unless somebody uses it; tell whether it was removed.

    Raises:
        NoLocksError: Files cannot be locked here.
        UserError: It cannot be removed.
    """
    gone, listing, descriptor = temporary_beside(folder), _listing(folder), None
    with cannot_write(folder), _one_at_a_time(folder):
        if listing.exists():
            descriptor = seize(listing)
            if descriptor is None:
                return False
        try:
            listing.unlink(missing_ok=True)
            record_file(folder).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                folder.rename(gone)
        finally:
            if descriptor is not None:
                os.close(descriptor)
    shutil.rmtree(gone, ignore_errors=True)
    return True


def read_checked(file: Path, kind: TypeAdapter[T]) -> T | None:
    """Read a file beside a result; None when it is missing or damaged."""
    try:
        return kind.validate_python(json.loads(file.read_text()))
    except (OSError, ValueError):
        return None
