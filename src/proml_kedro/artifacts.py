"""Results on disk, addressed by what they were made from.

A result is a folder ``<data>/store/<name>/<fingerprint>``, written under a temporary name and renamed when it is
complete; a file beside it lists what is in it. So a killed run leaves nothing that a later one could mistake for a
result, a result of which something was deleted is made again, and what was finished is found.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from proml_kedro.errors import Mistake, UserError

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Artifact:
    """A finished result.

    Attributes:
        path: Its folder.
        fingerprint: Digest of everything it was made from.
    """

    path: Path
    fingerprint: str

    def file(self, name: str) -> Path:
        """Path of a file inside."""
        return self.path / name

    def json(self, name: str) -> Any:
        """Content of a JSON file inside."""
        return json.loads(self.file(name).read_text())


class ArtifactStore:
    """Where results are made: the folder ``store`` below the data folder.

    Args:
        data_dir: The data folder; made on first use.
        reuse: Whether a result that is already there is taken over.
    """

    def __init__(self, data_dir: Path, reuse: bool = True) -> None:
        self.data_dir = data_dir
        self.reuse = reuse

    def build(
        self, name: str, inputs: Mapping[str, Any], write: Callable[[Path], None], code: tuple[str, ...] = ()
    ) -> Artifact:
        """The result called ``name`` made from ``inputs``: found when there is one, otherwise written.

        Args:
            name: Where it goes below the store, with slashes.
            inputs: What it depends on: artefacts, specs and plain values.
            write: Fills the empty folder it is given.
            code: Modules and packages below ``proml_kedro`` whose source it depends on.

        Raises:
            UserError: Nothing can be written there, or no space is left on the disk. Whatever ``write`` raises goes
                through; nothing stays behind.
        """
        folder = self._folder(name, inputs, code)
        if self.reuse and _is_whole(folder):
            logger.info("%s: unchanged, taken over", name)
        else:
            logger.info("%s: computing", name)
            with _replacing(folder) as temporary:
                write(temporary)
        return Artifact(folder, folder.name)

    def build_resumably(
        self, name: str, inputs: Mapping[str, Any], write: Callable[[Path, Path], None], code: tuple[str, ...] = ()
    ) -> Artifact:
        """As :meth:`build`, for long work that goes on where a killed process has left it.

        Args:
            name: Where it goes below the store, with slashes.
            inputs: What it depends on.
            write: Fills the empty folder it is given. The second folder is for checkpoints: it is the same one every
                time the same result is tried, and is removed once that is complete. It may not exist yet.
            code: Modules and packages whose source it depends on.
        """
        folder = self._folder(name, inputs, code)
        checkpoints = folder.with_name(f"{folder.name}.unfinished")
        if not self.reuse:
            shutil.rmtree(checkpoints, ignore_errors=True)
        artifact = self.build(name, inputs, lambda temporary: write(temporary, checkpoints), code)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return artifact

    def _folder(self, name: str, inputs: Mapping[str, Any], code: tuple[str, ...]) -> Path:
        digest = fingerprint({"name": name, "inputs": inputs, "code": [code_fingerprint(module) for module in code]})
        return self.data_dir / "store" / name / digest

    def remove_abandoned(self) -> None:
        """Remove what processes of this machine that are gone have left half-written."""
        for left in (self.data_dir / "store").glob("**/.writing-*"):
            host, _, pid = left.name.removeprefix(".writing-").rpartition("-")[0].rpartition("-")
            if host == socket.gethostname() and not _is_running(int(pid)):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when it is complete."""
    temporary, old = _temporary(folder), _temporary(folder)
    try:
        with _cannot_write(folder):
            temporary.mkdir(parents=True)
        with _disk_full(folder):
            yield temporary
            content = json.dumps(_sizes(temporary))
            with suppress(FileNotFoundError):
                folder.rename(old)
            _rename_unless_there(temporary, folder)
            _listing(folder).write_text(content)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _rename_unless_there(temporary: Path, folder: Path) -> None:
    """Another thread may have been faster; it has made the same result."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _temporary(folder: Path) -> Path:
    """A name of its own beside a folder, that tells on which machine it is written and by which process."""
    return folder.parent / f".writing-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


def _listing(folder: Path) -> Path:
    """The file beside a result that says what is in it; a result without one is not whole."""
    return folder.with_name(f"{folder.name}.files")


def _sizes(folder: Path) -> dict[str, int]:
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob("*") if file.is_file()}


def _is_whole(folder: Path) -> bool:
    """Whether a result is there with every file that was written."""
    listing = _listing(folder)
    if not (folder.is_dir() and listing.is_file()):
        return False
    found = _sizes(folder)
    return all(found.get(name) == size for name, size in json.loads(listing.read_text()).items())


@contextmanager
def _disk_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            message = f"no space left on the disk while writing {folder.parent}; nothing was kept"
            raise UserError(Mistake("data_dir", message)) from error
        raise


@contextmanager
def _cannot_write(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if _is_disk_full(error):
            raise UserError(Mistake("data_dir", f"no space left on the disk for {folder.parent}")) from error
        raise UserError(Mistake("data_dir", f"cannot write to {folder.parent}: {error.strerror}")) from error


class Stamp:
    """Remembers what a place that changes, such as a registry, was last made from.

    Args:
        file: Where that is written.
        place: What it is about; when that is gone, nothing is remembered.
    """

    def __init__(self, file: Path, place: Path) -> None:
        self._file = file
        self._place = place

    def matches(self, inputs: Mapping[str, Any]) -> bool:
        """Whether the place was last made from these inputs."""
        return self._place.exists() and self._file.is_file() and self._file.read_text() == fingerprint(inputs)

    def write(self, inputs: Mapping[str, Any]) -> None:
        """Say that the place is now made from these inputs."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(fingerprint(inputs))

    def remove(self) -> None:
        """Say that nothing is known, before the place is changed."""
        self._file.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _is_disk_full(error: BaseException) -> bool:
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    # DuckDB and Arrow put the system's words into an error of their own.
    return getattr(error, "errno", None) in full or any(os.strerror(code) in str(error) for code in full)


def fingerprint(value: Any) -> str:
    """A digest of 16 hexadecimal digits; equal values give equal digests, in whatever order their keys are."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Artifact):
        return value.fingerprint
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, timedelta | Path):
        return str(value)
    raise TypeError(f"a result cannot depend on a {type(value).__name__}")


@cache
def code_fingerprint(module: str) -> str:
    """A digest of the source of a module or package below ``proml_kedro``, or the version of an installed package.

    Args:
        module: ``features``, ``models.columns``, or ``==xgboost`` for an installed package.
    """
    if module.startswith("=="):
        return version(module[2:])
    path = _PACKAGE.joinpath(*module.split("."))
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
