"""Delta tables, read by their own library."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError, first_line
from proml_kedro.features.tables.files import is_remote
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.features.tables.readers.copies import parquet_copy

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable


class DeltaReader(TableReader):
    """A Delta table: its folder, whose log says which files are rows of it. Needs the extra ``proml-kedro[delta]``.

    In an object store it is read where it lies, with ``reader: delta``.

    Attributes:
        version: The state to read; the newest when left out.
    """

    reads_files: ClassVar[bool] = False
    reads_urls: ClassVar[bool] = True

    version: int | None = None

    @classmethod
    def claims_folder(cls, folder: Path) -> bool:
        """Return whether a folder has a log of Delta."""
        return (folder / "_delta_log").is_dir()

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give a Parquet copy of the rows.

        Raises:
            UserError: There is no such table or version, a file of it is missing or damaged, or it uses what the
                library cannot read.
        """
        key = f"{source.key}.source"
        table = self._table(source)
        with _explained(source):
            dataset = table.to_pyarrow_dataset()
            rows = dataset.scanner(columns=self.selected(dataset.schema.names)).to_reader()
        with _explained(source), parquet_copy(rows, folder / f".{source.name}.delta.parquet", key) as files:
            yield files

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows of the copy."""
        return session.parquet(*files)

    def fingerprint(self, source: Source) -> str:
        """Return a digest of the table's identity, its schema and the files that are rows of it, with their sizes."""
        table = self._table(source)
        with _explained(source):
            files = table.get_add_actions()
            columns = (files.column("path"), files.column("size_bytes"), files.column("modification_time"))
            rows = sorted(zip(*(column.to_pylist() for column in columns), strict=True))
            said = repr((table.metadata().id, table.schema().to_json(), rows))
        return hashlib.sha256(said.encode()).hexdigest()

    def _table(self, source: Source) -> DeltaTable:
        try:
            from deltalake import DeltaTable
        except ImportError as error:
            message = "Delta tables need a library of their own: pip install 'proml-kedro[delta]'"
            raise UserError.at(f"{source.key}.source", message) from error
        with _explained(source):
            if is_remote(source.text):
                options = source.credentials(self.credentials) if self.credentials else {}
                return DeltaTable(source.text, version=self.version, storage_options=_options(options))
            path = source.base_path / source.text
            if not self.claims_folder(path):
                message = f"'{source.text}' is no folder of a Delta table: it has no log"
                raise UserError.at(f"{source.key}.source", message)
            return DeltaTable(path, version=self.version)

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a table whose first rows were replaced, so that not all of its files are rows of it."""
        from deltalake import write_deltalake

        write_deltalake(folder / "rows", rows.slice(0, 2))
        write_deltalake(folder / "rows", rows, mode="overwrite")
        return {"source": "rows", "reader": "delta"}


def _options(given: Mapping[str, Any]) -> dict[str, str]:
    """Options of an object store; a server that does not answer is given up after half a minute, not three."""
    options = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
    plain = any(value.startswith("http://") for name, value in options.items() if "endpoint" in name.lower())
    return {"max_retries": "4", "retry_timeout": "30s", **({"allow_http": "true"} if plain else {}), **options}


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    """Say which table it is, whatever the library has found."""
    import pyarrow as pa
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (DeltaError, pa.ArrowInvalid, OSError) as error:
        message = f"'{source.text}' cannot be read as a Delta table: {first_line(error)}"
        raise UserError.at(f"{source.key}.source", message) from error
