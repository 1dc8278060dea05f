"""Parquet: a file, a folder or a glob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proml_kedro.engine.duckdb import parquet
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.features.tables.readers.base import TableReader

if TYPE_CHECKING:
    import pyarrow as pa


class ParquetReader(TableReader):
    """A Parquet file, or a folder or glob of such. Files may lack columns that others have."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    many_files: ClassVar[bool] = True

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows of all files."""
        return session.parquet(*files, union_by_name=True)

    def blame(self, error: EngineError, files: Sequence[Path], session: Session) -> tuple[str, str] | None:
        """Find the file that is damaged."""
        for file in files:
            try:
                session.rows(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {parquet(file)}")
            except EngineError:
                return "source", f"'{file.name}' is no whole Parquet file"
        return None

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a folder of two files."""
        import pyarrow.parquet as pq

        (folder / "rows").mkdir()
        pq.write_table(rows.slice(0, 3), folder / "rows" / "1.parquet")
        pq.write_table(rows.slice(3), folder / "rows" / "2.parquet")
        return {"source": "rows"}
