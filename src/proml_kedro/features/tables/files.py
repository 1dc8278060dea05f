"""Files of source tables: where they are, and a digest of what they hold."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from glob import has_magic
from pathlib import Path

from proml_kedro.atomic import write_whole
from proml_kedro.errors import UserError, did_you_mean

_LARGE = 64 << 20
"""Bytes of a file above which its digest is remembered; those of others are read as fast."""

_SETTLED = 2_000_000_000
"""Nanoseconds without a change after which a digest is remembered."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_URLS = (
    "write s3://, gs://, az:// or https:// for files that lie elsewhere, postgresql:// for a server, "
    "and a path for files of this machine, SQLite's among them"
)

_STORES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
WEB = ("http", "https")
"""Schemes of files of web servers."""
_REMOTE = re.compile(rf"({'|'.join((*_STORES, *WEB))})://", re.IGNORECASE)

_KNOWN: ContextVar[dict[str, str] | None] = ContextVar("digests", default=None)
"""State of a file → digest of its content, while :func:`remembering`."""


def is_remote(text: str) -> bool:
    """Return whether the text of a source is a URL of an object store or a web server.

    >>> is_remote("s3://bucket/orders.csv"), is_remote("data/orders.csv"), is_remote("package:a/b.csv")
    (True, False, False)
    """
    return _REMOTE.match(text) is not None


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
    if (url := _URL.match(source)) and not (base_path / source).exists():
        raise UserError.at(key, f"'{url[1]}' is no sort of URL that a table is read from; {_URLS}")
    path = _in_package(source, key) if source.startswith("package:") else base_path / source
    if path.is_dir():
        _refuse_lakes(path, key, source)
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


_LAKES = {
    "_delta_log": "a Delta table; name its own folder",
    ".hoodie": "a Hudi table; read it by a dataset of the catalog",
    "*.metadata.json": "an Iceberg table; read it by a dataset of the catalog",
}
"""What lies in the folder of a table whose log says which of its files hold rows, and which are out of date."""


def _refuse_lakes(folder: Path, key: str, source: str) -> None:
    for name, what in _LAKES.items():
        if next(folder.rglob(name), None):
            raise UserError.at(key, f"folder '{source}' holds {what}")


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
    """Return a digest of the content of files, of their names, and of the folders around them that may be columns."""
    digest = hashlib.sha256()
    for file in files:
        partitions = [part for part in file.parent.parts if "=" in part]
        digest.update(f"{'/'.join([*partitions, file.name])}\0{file.stat().st_size}\0".encode())
        digest.update(bytes.fromhex(_content_digest(file)))
    return digest.hexdigest()


@contextmanager
def remembering(memory: Path) -> Iterator[None]:
    """Let digests of large files be remembered in a file, and taken from it while the files stay what they are.

    A file stays what it is while its inode, size, and the moments of its last change of content and of state stay. The
    latter no program can set, so that a file which was replaced by one of equal size and date is read again.

    Args:
        memory: Where they are remembered; nothing is where it cannot be written.
    """
    known = _read(memory)
    token, before = _KNOWN.set(known), dict(known)
    try:
        yield
    finally:
        _KNOWN.reset(token)
        if known != before:
            with suppress(OSError, UserError):
                memory.parent.mkdir(parents=True, exist_ok=True)
                write_whole(memory, json.dumps(known))


def _read(memory: Path) -> dict[str, str]:
    try:
        return {str(key): str(digest) for key, digest in json.loads(memory.read_bytes()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _content_digest(file: Path) -> str:
    state, known = file.stat(), _KNOWN.get()
    moments = (state.st_mtime_ns, state.st_ctime_ns)
    key = f"{state.st_dev} {state.st_ino} {state.st_size} {moments}"
    if known is not None and len(found := known.get(key, "")) == 64:
        return found
    begun = time.time_ns()
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    is_settled = max(moments) < begun - _SETTLED  # a clock that ticks slowly may not tell a write just after this one
    if known is not None and state.st_size > _LARGE and is_settled:
        known[key] = digest
    return digest
