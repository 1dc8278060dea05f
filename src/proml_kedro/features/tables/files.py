"""Files of source tables: where they are, and a digest of what they hold."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from glob import has_magic
from pathlib import Path

from proml_kedro.errors import UserError, did_you_mean

_HASHED_BYTES = 256 << 20


def locate(key: str, source: str, base_path: Path) -> list[Path]:
    """Return the files that a source names, sorted.

    Args:
        key: Where the source stands in the configuration.
        source: A file, a folder or glob of Parquet files, or ``package:NAME/PATH``; see
            :class:`proml_kedro.spec.table.TableSpec`.
        base_path: What relative paths are relative to.

    Raises:
        UserError: There is no such file.
    """
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


def fingerprint_of(files: Sequence[Path]) -> str:
    """Return a digest of files: of their content up to 256 MB in all, beyond that of size and change time."""
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
