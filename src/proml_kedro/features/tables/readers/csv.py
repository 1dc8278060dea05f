"""CSV: a file, perhaps compressed."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proml_kedro.engine.duckdb import find
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.csv import broken_line, column_names, csv_sql
from proml_kedro.features.tables.readers.base import Source, TableReader

if TYPE_CHECKING:
    import pyarrow as pa


class CsvReader(TableReader):
    """A CSV file with a header line, plain or in ``.gz`` or ``.zip``. Empty fields and ``NA`` are null.

    The type of a column is read off the whole file, unless it is declared.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".csv.gz", ".csv.zip")
    applies_types: ClassVar[bool] = True

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give the file, unpacked if it is a zip archive."""
        file = source.files()[0]
        if file.suffix.lower() != ".zip":
            yield [file]
            return
        unpacked = unpack(file, folder / f".{source.name}.csv", f"{source.key}.source")
        try:
            yield [unpacked]
        finally:
            unpacked.unlink()

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows, each column with its final type."""
        header = dict.fromkeys(column_names(files[0]), "VARCHAR")
        declared = {name: type_ for name, type_ in self.types.items() if find(name, header)}
        types = session.relation(csv_sql(files[0], declared, whole=True)).schema
        return session.relation(csv_sql(files[0], types))

    def blame(self, error: EngineError, files: Sequence[Path], session: Session) -> tuple[str, str] | None:
        """Find the line, and the column if a value is not of its type."""
        text = str(error)
        line, column = re.search(r"on Line: (\d+)", text), re.search(r'when converting column "(.+?)"', text)
        if line and column:
            type_ = re.search(r"to '([A-Z ]+)'", text)
            message = f"line {line[1]}: the value of '{column[1]}' is no {type_[1] if type_ else 'such type'}"
            return f"types.{column[1]}", message
        broken = broken_line(session, files[0]) if "CSV" in text else None
        return ("source", broken) if broken else None

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a file in a zip archive."""
        import pyarrow.csv as pc

        pc.write_csv(rows, folder / "rows.csv")
        with zipfile.ZipFile(folder / "rows.csv.zip", "w") as archive:
            archive.write(folder / "rows.csv", "rows.csv")
        return {"source": "rows.csv.zip"}


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
