"""Checksums of a folder, in the format of ``sha256sum``: what was written is what is read, and nothing besides."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from proml_kedro.errors import Mistake, UserError

CHECKSUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
"""Of the checksums; it comes later, so it is not listed in them."""

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class IntegrityError(UserError):
    """A bundle is not what was written, or does not score as it did."""

    @classmethod
    def of(cls, folder: Path, *messages: str) -> IntegrityError:
        """Make the error of one line for each thing that is wrong with the folder."""
        return cls(*(Mistake("", message, where=str(folder)) for message in messages))


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write ``SHA256SUMS`` over every file below the folder; ``sha256sum -c SHA256SUMS`` reads it.

    Raises:
        ValueError: A file's name cannot stand on a line, or there is something else than files and folders.
    """
    names, strange = _contents(folder)
    strange += [f"{name!r} has a name that a line cannot hold" for name in names if re.search(r"[\n\r\\]", name)]
    if strange:
        raise ValueError("; ".join(strange))
    lines = [f"{sha256(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def verify(
    folder: Path, what: str = "bundle", unlisted: Collection[str] = (), unread: Collection[str] = ()
) -> dict[str, str]:
    """Prove that a folder holds exactly the files of its ``SHA256SUMS``, unchanged.

    Args:
        folder: The folder.
        what: What it should be, for errors.
        unlisted: Names of folders, at any depth, that may hold other files.
        unread: Listed files whose content may be another.

    Returns:
        Each file's digest by its path relative to the folder.

    Raises:
        IntegrityError: A file is missing, added or changed, or is a link, or a listed path leads out of the folder.
    """
    if not folder.is_dir():
        raise IntegrityError.of(folder, f"no such {what}")
    listing = folder / CHECKSUMS
    if listing.is_symlink() or not listing.is_file():
        raise IntegrityError.of(folder, f"no {CHECKSUMS} in it: it is no {what}, or it is not whole")
    listed = _parse(folder, listing.read_text(encoding="utf-8", errors="replace"))
    present, problems = _contents(folder)
    present = {name for name in present if name in listed or not {*PurePosixPath(name).parts[:-1]} & {*unlisted}}
    problems += [f"{name} is missing" for name in sorted(listed.keys() - present)]
    problems += [f"{name} is not listed in {CHECKSUMS}" for name in sorted(present - listed.keys())]
    problems += [
        f"{name} was changed after it was written: its SHA-256 is not the one listed"
        for name in sorted(listed.keys() & present - {*unread})
        if sha256(folder / name) != listed[name]
    ]
    if problems:
        raise IntegrityError.of(folder, *problems)
    return listed


def _parse(folder: Path, text: str) -> dict[str, str]:
    listed: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if not match or not _stays_inside(match[2]) or match[2] in listed:
            raise IntegrityError.of(folder, f"line {number} of {CHECKSUMS} is not a digest and a path below the folder")
        listed[match[2]] = match[1]
    return listed


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name and name != CHECKSUMS


def _contents(folder: Path) -> tuple[set[str], list[str]]:
    """The regular files below a folder, and a message for everything that is neither file nor folder."""
    files, strange = set(), []
    for entry in _walk(folder):
        name = Path(entry.path).relative_to(folder).as_posix()
        if entry.is_file(follow_symlinks=False):
            files.add(name)
        elif not entry.is_dir(follow_symlinks=False):
            strange.append(f"{name} is a link or a device, not a file")
    return files - {CHECKSUMS, SIGNATURE}, strange


def _walk(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
