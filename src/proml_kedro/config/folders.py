"""Where configuration files lie: the project's own ``conf`` first, then the one shipped with this package."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import weakref
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from proml_kedro.errors import Mistake, UserError

MAIN = "config.yaml"
PERSONAL = ("env", "experiment")
"""Groups that are never taken from the shipped folder: they hold one project's own values."""

_PACKAGE = Path(__file__).parents[1]
_LARGEST = 64 << 20


def shipped() -> Path:
    """Return the folder ``conf`` of the package: inside it when installed, beside ``src`` in a checkout."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "conf"


@dataclass(frozen=True)
class Folders:
    """The folders that groups of files are looked for in.

    Attributes:
        own: The project's ``conf``.
        others: Further ones, in the order in which they are asked.
    """

    own: Path
    others: tuple[Path, ...] = ()

    @classmethod
    def of(cls, own: Path) -> Folders:
        """Take the project's folder and the shipped one, when they are not the same."""
        return cls(own, tuple(one for one in (shipped(),) if one.is_dir() and not _same(one, own)))

    @cached_property
    def groups(self) -> frozenset[str]:
        """Every group: a folder with YAML files in it."""
        return frozenset(
            file.parent.relative_to(folder).as_posix()
            for folder in (self.own, *self.others)
            for file in folder.glob("*/**/*.yaml")
        )

    def options(self, group: str) -> list[str]:
        """List the names that may be chosen in a group, sorted."""
        folders = (self.own,) if group in PERSONAL else (self.own, *self.others)
        return sorted(
            {
                file.relative_to(folder / group).with_suffix("").as_posix()
                for folder in folders
                for file in (folder / group).rglob("*.yaml")
            }
        )

    def files(self) -> list[Path]:
        """List every file of the project's own folder, sorted."""
        return sorted(file for file in self.own.rglob("*.yaml") if file.is_file())

    def file(self, config_path: str) -> Path | None:
        """Find the file that Hydra calls by this path; None when there is none."""
        candidates = (folder / f"{config_path}.yaml" for folder in (self.own, *self.others))
        return next((file for file in candidates if file.is_file()), None)

    def label(self, file: Path) -> str:
        """Name a file for messages: ``conf/model/xgboost.yaml``, or ``proml_kedro/conf/…`` for a shipped one."""
        if file.is_relative_to(self.own):
            return (Path(self.own.name) / file.relative_to(self.own)).as_posix()
        for folder in self.others:
            if file.is_relative_to(folder):
                return (Path(_PACKAGE.name) / folder.name / file.relative_to(folder)).as_posix()
        return str(file)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


class ConfSource:
    """A ``conf`` folder, or an archive of one, unpacked into a temporary folder for as long as this object lives.

    Attributes:
        folder: The folder with ``config.yaml``.
        base_path: What relative paths of source tables start from: the folder that holds ``conf`` or the archive.

    Raises:
        UserError: There is no configuration there, or an archive cannot be read.
    """

    def __init__(self, source: str) -> None:
        if "://" in source:
            raise _error(f"'{source}' is not on this machine; give a folder, or a .tar.gz or .zip file")
        path = Path(source).expanduser().resolve()
        if path.is_dir():
            self.folder, self.base_path = path, path.parent
        elif path.is_file():
            temporary = tempfile.mkdtemp(prefix="proml-conf-")
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
            self.folder, self.base_path = _unpack(path, Path(temporary)), path.parent
        else:
            raise _error(f"there is no folder {path}")
        if not (self.folder / MAIN).is_file():
            raise _error(f"there is no {MAIN} in {path}; it is the file with the list of groups to compose")


def _error(message: str) -> UserError:
    return UserError(Mistake("", message, "configuration"))


def _unpack(archive: Path, folder: Path) -> Path:
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                _check_size(sum(member.size for member in tar.getmembers()), archive)
                _check_members(tar, folder)
                tar.extractall(folder, **_FILTER)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                _check_size(sum(member.file_size for member in zipped.infolist()), archive)
                zipped.extractall(folder)
        else:
            raise _error(f"{archive} is neither a folder nor a .tar.gz or .zip file")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, shutil.Error, OSError) as error:
        raise _error(f"cannot unpack {archive}: {error}") from error
    return next((one.parent for one in sorted(folder.glob(f"**/{MAIN}"), key=lambda one: len(one.parts))), folder)


# The same rule from Python itself, where it is new enough to have it and would warn without.
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def _check_members(tar: tarfile.TarFile, folder: Path) -> None:
    """Refuse members that are no files or folders, or lie outside; Python before 3.11.4 does not check that itself.

    Raises:
        tarfile.TarError: There is something else in the archive.
    """
    for member in tar.getmembers():
        if not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
        if not (folder / member.name).resolve().is_relative_to(folder.resolve()):
            raise tarfile.TarError(f"{member.name} would be outside of the folder")


def _check_size(size: int, archive: Path) -> None:
    if size > _LARGEST:
        raise _error(f"{archive} unpacks to {size >> 20} MB; a configuration has a few KB")
