"""Files of object stores and web servers: what state they are in, and copies of them while they are read."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from proml_kedro.errors import RetriableError, UserError, first_line
from proml_kedro.features.tables.files import WEB, is_remote
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.spec.table import TableSpec

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_PARQUET = ".parquet"
_RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
"""How often a server that fails or does not answer is asked again."""


def remote_files(table: TableSpec, source: Source) -> RemoteFiles | None:
    """Return the files of a table that lie elsewhere and are copied; None where its reader has another way to it.

    Raises:
        UserError: There are no credentials of the name.
    """
    if not is_remote(source.text) or (isinstance(table, TableReader) and table.reads_urls):
        return None
    options = source.credentials(table.credentials) if table.credentials else {}
    return RemoteFiles(source.text, options, f"{source.key}.source")


@contextmanager
def on_this_machine(table: TableSpec, source: Source, folder: Path) -> Iterator[Source]:
    """Give a source whose files lie on this machine: copies, if they lie elsewhere, which are removed when it ends.

    Args:
        table: The table.
        source: Its source.
        folder: Where copies may lie.

    Raises:
        UserError: There are no such files, or they may not be read.
        RetriableError: The server is not reached.
    """
    remote = remote_files(table, source)
    if remote is None:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix=f".{source.name}.", dir=folder) as copies:
        yield replace(source, place=remote.fetch(Path(copies)))


@dataclass(frozen=True)
class RemoteFiles:
    """Files that a URL names: an object, or the Parquet files below a prefix or that match a glob.

    Attributes:
        url: ``s3://bucket/path``, ``gs://``, ``az://`` or ``https://host/path``.
        options: Those of the store, such as ``endpoint``, ``region``, ``access_key_id`` and ``secret_access_key``; what
            is left out is taken from the environment, as the store's own tools do. Headers for a web server.
        key: Where the source stands in the configuration, for errors.
    """

    url: str
    options: Mapping[str, Any]
    key: str

    def fingerprint(self) -> str:
        """Return a digest of the files' names and of the state that the server tells.

        That is the entity tag, which changes with the content; where a server tells none, the content is read.

        Raises:
            UserError: There are no such files, or they may not be read.
            RetriableError: The server is not reached.
        """
        digest = hashlib.sha256()
        with self._explained():
            store, found = self._found()
            for one in found:
                state = f"{one['path']}\0{one['size']}\0{one['e_tag'] or ''}\0{one['version'] or ''}\0"
                digest.update(state.encode())
                if not one["e_tag"]:
                    for part in _content(store, one["path"]):
                        digest.update(part)
        return digest.hexdigest()

    def fetch(self, folder: Path) -> str:
        """Copy the files into a folder that is empty.

        Returns:
            What a source is then: the one file, or the folder.

        Raises:
            UserError: There are no such files, or they may not be read.
            RetriableError: The server is not reached.
        """
        with self._explained():
            store, found = self._found()
            for one in found:
                target = folder / self._local(one["path"])
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    for part in _content(store, one["path"]):
                        file.write(part)
        return str(folder if self._is_many(found) else folder / self._local(found[0]["path"]))

    @property
    def _path(self) -> str:
        return unquote(urlsplit(self.url).path).lstrip("/")

    def _local(self, path: str) -> PurePosixPath:
        """The name of a copy; folders such as ``day=2024-01-31`` are kept, since they hold values."""
        parts = PurePosixPath(path).parts
        kept = [one for one in parts[:-1] if "=" in one or has_magic(self._path) or self._is_below(path)]
        return PurePosixPath(*(one.replace("..", "__") for one in kept), parts[-1])

    def _is_below(self, path: str) -> bool:
        return path != self._path

    def _is_many(self, found: Sequence[ObjectMeta]) -> bool:
        return self._is_below(found[0]["path"])

    def _found(self) -> tuple[ObjectStore, list[ObjectMeta]]:
        import obstore

        scheme, host = urlsplit(self.url).scheme.lower(), urlsplit(self.url).netloc
        if scheme in WEB:
            return self._web(scheme, host)
        options: Any = dict(self.options)
        store = obstore.store.from_url(
            f"{scheme}://{host}", config=options or None, retry_config=_RETRIES, **_client(options)
        )
        if not has_magic(self._path):
            try:
                return store, [obstore.head(store, self._path)]
            except FileNotFoundError:
                pass
        return store, self._listed(store)

    def _web(self, scheme: str, host: str) -> tuple[ObjectStore, list[ObjectMeta]]:
        import obstore

        client: Any = {"allow_http": scheme == "http"}
        if self.options:
            client["default_headers"] = {str(name): str(value) for name, value in self.options.items()}
        query = urlsplit(self.url).query
        if query:
            raise UserError.at(self.key, "a query behind the path of a URL is not sent; name a URL without one")
        if not self._path or self._path.endswith("/"):
            raise UserError.at(self.key, f"'{self.url}' names no file; a web server's folders cannot be listed")
        store = obstore.store.HTTPStore.from_url(f"{scheme}://{host}", client_options=client, retry_config=_RETRIES)
        return store, [obstore.head(store, self._path)]

    def _listed(self, store: ObjectStore) -> list[ObjectMeta]:
        import obstore

        pattern = self._path.rstrip("/")
        magic = re.search(r"[*?[]", pattern)
        prefix = pattern[: magic.start()].rpartition("/")[0] if magic else pattern
        every = [one for batch in obstore.list(store, prefix or None) for one in batch]
        if has_magic(pattern):
            found = [one for one in every if _matches(one["path"], pattern)]
        else:
            found = [one for one in every if one["path"].endswith(_PARQUET)]
            if marks := [one["path"] for one in every if "/_delta_log/" in one["path"] or "/.hoodie/" in one["path"]]:
                message = f"'{self.url}' is no folder of Parquet files alone: it holds {PurePosixPath(marks[0]).name}"
                lake = "; write reader: delta" if "/_delta_log/" in marks[0] else ""
                raise UserError.at(self.key, f"{message}, a log that says which of them hold rows{lake}")
        if not found:
            raise UserError.at(self.key, f"no file '{self.url}', and no {_PARQUET} file below it")
        return sorted(found, key=lambda one: one["path"])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            from obstore import exceptions
        except ImportError as error:
            message = "files of object stores and the web need a library: pip install 'proml-kedro[remote]'"
            raise UserError.at(self.key, message) from error
        try:
            yield
        except FileNotFoundError as error:
            raise UserError.at(self.key, f"no file '{self.url}'") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            message = f"'{self.url}' may not be read; name credentials, or look at their rights"
            raise UserError.at(self.key, message) from error
        except exceptions.UnknownConfigurationKeyError as error:
            raise UserError.at(self.key, f"credentials of '{self.url}': {first_line(error)}") from error
        except exceptions.BaseError as error:
            raise RetriableError.at(self.key, f"'{self.url}' cannot be read: {first_line(error)}") from error


def _client(options: Mapping[str, Any]) -> dict[str, Any]:
    """Connections without TLS, where the options name such an endpoint."""
    endpoint = str(options.get("endpoint") or options.get("aws_endpoint") or options.get("endpoint_url") or "")
    return {"client_options": {"allow_http": True}} if endpoint.startswith("http://") else {}


def _content(store: ObjectStore, path: str) -> Iterator[bytes]:
    import obstore

    for part in obstore.get(store, path).stream():
        yield bytes(part)


def _matches(path: str, pattern: str) -> bool:
    """Whether a path fits a glob as of folders: ``*`` stays within one name, ``**`` goes through any number."""
    expression = "".join(
        ".*" if one == "**/" or one == "**" else "[^/]*" if one == "*" else fnmatch.translate(one)[4:-3]
        for one in re.split(r"(\*\*/|\*\*|\*)", pattern)
        if one
    )
    return re.fullmatch(expression, path) is not None
