"""Results on disk, addressed by what they were made from.

A result is a folder ``<data>/store/<name>/<fingerprint>``, written under a temporary name and renamed when it is
complete. So a folder with a fingerprint for a name is whole, a killed run leaves nothing that a later one could
mistake for a result, and what was finished is found again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
            UserError: No space is left on the disk. Whatever ``write`` raises goes through; nothing stays behind.
        """
        digest = fingerprint({"name": name, "inputs": inputs, "code": [code_fingerprint(module) for module in code]})
        folder = self.data_dir / "store" / name / digest
        if folder.is_dir() and self.reuse:
            logger.info("%s: unchanged, taken over", name)
        else:
            logger.info("%s: computing", name)
            with self._replacing(folder) as temporary:
                write(temporary)
        return Artifact(folder, digest)

    @contextmanager
    def _replacing(self, folder: Path) -> Iterator[Path]:
        temporary = folder.parent / f".writing-{folder.name}-{os.getpid()}"
        try:
            _remove_abandoned(folder.parent)
            temporary.mkdir(parents=True)
            yield temporary
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        except Exception as error:
            if _is_disk_full(error):
                raise UserError(
                    Mistake("data_dir", f"no space left on the disk while writing {folder.parent}; nothing was kept")
                ) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


class Stamp:
    """Remembers what a place that changes, such as a registry, was last made from.

    Args:
        file: Where that is written; beside the place, so that both go together.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def matches(self, inputs: Mapping[str, Any]) -> bool:
        """Whether the place was last made from these inputs."""
        return self._file.is_file() and self._file.read_text() == fingerprint(inputs)

    def write(self, inputs: Mapping[str, Any]) -> None:
        """Say that the place is now made from these inputs."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(fingerprint(inputs))

    def remove(self) -> None:
        """Say that nothing is known, before the place is changed."""
        self._file.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that are gone left half-written."""
    for left in folder.glob(".writing-*"):
        if not _is_running(int(left.name.rpartition("-")[2])):
            shutil.rmtree(left, ignore_errors=True)


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
        module: ``features``, ``models.xgboost``, or ``==xgboost`` for an installed package.
    """
    if module.startswith("=="):
        return version(module[2:])
    path = _PACKAGE.joinpath(*module.split("."))
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
