"""Where a table's files are, and what they hold at the moment."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import shutil
import zipfile
from collections.abc import Iterable
from glob import has_magic
from pathlib import Path

from proml_kedro.errors import UserError, did_you_mean

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".csv.zip")
_HASHED_BYTES = 256 << 20


def source_files(name: str, source: str, base_path: Path) -> list[Path]:
    """The files of a table, sorted.

    Args:
        name: The table's name in the problem, for errors.
        source: A file, a folder or glob of Parquet files, or ``package:NAME/PATH``; see
            :class:`proml_kedro.spec.problem.TableSpec`.
        base_path: What relative paths are relative to.

    Raises:
        UserError: There is no such file, or it is of no known sort.
    """
    key = f"problem.tables.{name}.source"
    path = _in_package(source, key) if source.startswith("package:") else base_path / source
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        wanted = f"folder '{source}' holds no .parquet file"
    elif has_magic(source) and not path.exists():
        files = sorted(base_path.glob(source) if not Path(source).is_absolute() else _absolute_glob(path))
        wanted = f"no file matches '{source}'"
    else:
        files = [path] if path.exists() else []
        wanted = f"no file '{source}'{_nearby(path)}"
    if not files:
        raise UserError.at(key, wanted)
    _check_suffixes(files, key)
    return files


def _in_package(source: str, key: str) -> Path:
    package, _, inside = source.removeprefix("package:").partition("/")
    # The package is found but not imported: data packages need not be importable.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError.at(key, f"no package '{package}' is installed; write package:NAME/PATH")
    return Path(next(iter(spec.submodule_search_locations))) / inside


def _absolute_glob(path: Path) -> Iterable[Path]:
    return Path(path.anchor).glob(str(path.relative_to(path.anchor)))


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder '{path.parent}'"
    names = sorted(one.name for one in path.parent.iterdir())
    # The folder may hold anything, so only near names are worth showing.
    return did_you_mean(path.name, difflib.get_close_matches(path.name, names, n=3, cutoff=0.6))


def _check_suffixes(files: list[Path], key: str) -> None:
    unread = [file.name for file in files if not file.name.lower().endswith(SUFFIXES)]
    if unread:
        raise UserError.at(key, f"cannot read '{unread[0]}'; files end in {', '.join(SUFFIXES)}")
    if len(files) > 1 and not all(file.suffix.lower() == ".parquet" for file in files):
        raise UserError.at(key, f"{len(files)} files match, and only Parquet files can be read as one table")


def unpack(archive: Path, target: Path, key: str) -> Path:
    """Write the one CSV file of an archive to ``target``.

    Args:
        archive: A zip file.
        target: Where to.
        key: Where it is named in the configuration.

    Raises:
        UserError: It is damaged, or does not hold exactly one.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            names = [one for one in content.namelist() if one.endswith(".csv") and not one.startswith("__MACOSX")]
            if len(names) != 1:
                raise UserError.at(key, f"'{archive.name}' holds {len(names)} CSV files, not one")
            with content.open(names[0]) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
    except zipfile.BadZipFile as error:
        raise UserError.at(key, f"'{archive.name}' is not a whole zip file") from error
    return target


def source_fingerprint(name: str, source: str, base_path: Path) -> str:
    """A digest of a table's files: of their content up to 256 MB in all, beyond that of size and change time.

    Args:
        name: The table's name in the problem, for errors.
        source: As in :func:`source_files`.
        base_path: What relative paths are relative to.

    Raises:
        UserError: As :func:`source_files`.
    """
    files = source_files(name, source, base_path)
    by_content = sum(file.stat().st_size for file in files) <= _HASHED_BYTES
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(f"{file.name}\0{state.st_size}\0".encode())
        if by_content:
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        else:
            digest.update(str(state.st_mtime_ns).encode())
    return digest.hexdigest()
