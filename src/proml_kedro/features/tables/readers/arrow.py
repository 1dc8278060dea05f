"""Arrow's own files: those of Feather, and streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.features.tables.readers.copies import parquet_copy

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowReader(TableReader):
    """An Arrow file or stream (IPC), Feather of version 2 among them. Columns keep their types."""

    suffixes: ClassVar[tuple[str, ...]] = (".arrow", ".arrows", ".feather", ".ipc")

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give a Parquet copy of the rows.

        Raises:
            UserError: The file is no whole Arrow file, or a column has a type that would change its values.
        """
        import pyarrow as pa

        (file,) = source.files()
        key = f"{source.key}.source"
        try:
            with (
                pa.memory_map(str(file)) as content,
                parquet_copy(_reader(content), folder / f".{source.name}.arrow.parquet", key) as files,
            ):
                yield files
        except pa.ArrowInvalid as error:
            raise UserError.at(key, f"'{file.name}' is no whole Arrow file") from error

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows of the copy."""
        return session.parquet(*files)

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a file of several batches."""
        import pyarrow as pa

        with pa.ipc.new_file(folder / "rows.arrow", rows.schema) as writer:
            writer.write_table(rows, max_chunksize=2)
        return {"source": "rows.arrow"}


def _reader(content: pa.NativeFile) -> pa.RecordBatchReader:
    """The rows of a file, batch by batch; of a stream, if it is one."""
    import pyarrow as pa

    if content.read_at(6, 0) != b"ARROW1":
        return pa.ipc.open_stream(content)
    file = pa.ipc.open_file(content)
    batches = (file.get_batch(number) for number in range(file.num_record_batches))
    return pa.RecordBatchReader.from_batches(file.schema, batches)
