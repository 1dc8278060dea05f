"""CSV: a file, perhaps packed, in any dialect and encoding."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.csv import Dialect, DialectError, explain_csv
from proml_kedro.features.tables.plain import PACKED, PlainText, not_utf8
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.features.tables.text import Numbers, Reading

if TYPE_CHECKING:
    import pyarrow as pa

_Mark = Annotated[str, Field(min_length=1, max_length=1)]


class CsvReader(TableReader):
    """A CSV file, plain or in ``.gz``, ``.zst`` or ``.zip``, whose cells are text until their type is known.

    Empty fields and ``NA`` without quotes are null.

    Attributes:
        delimiter: What is between fields; found among comma, semicolon, tab and bar when left out.
        header: Whether the first line has the columns' names.
        names: Names of the columns, in place of those in the header.
        quote: What stands around fields; empty where quotes mean nothing.
        encoding: Such as ``latin-1`` or ``utf-16``; UTF-8, or what the file's first bytes say, when left out.
        decimal: The mark before the fraction of numbers.
        thousands: The mark between groups of three digits.
        null_words: What stands for null, in quotes too, in place of ``NA``. An empty field always does.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csv", *(f".csv{one}" for one in PACKED))
    is_text: ClassVar[bool] = True

    delimiter: _Mark | None = None
    header: bool = True
    names: Annotated[list[str], Field(min_length=1)] | None = None
    quote: Annotated[str, Field(max_length=1)] = '"'
    encoding: str | None = None
    decimal: _Mark = "."
    thousands: _Mark | None = None
    null_words: list[str] | None = None

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal == self.thousands:
            other = "," if self.decimal == "." else "."
            raise ValueError(f"decimal and thousands are both '{self.decimal}'; write decimal: \"{other}\" too")
        if self.quote and self.quote == self.delimiter:
            raise ValueError("quote and delimiter are the same mark")
        return self

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give the file, or a copy that is unpacked and in UTF-8."""
        copy = folder / f".{source.name}.csv"
        try:
            yield [PlainText(source.files()[0], source.key, self.encoding, quote=self.quote).write(copy)]
        finally:
            copy.unlink(missing_ok=True)

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows, all of them text."""
        with self._explained(files[0]):
            return session.relation(self._dialect.sql(files[0]))

    def batches(self, files: Sequence[Path], readings: Mapping[str, Reading]) -> pa.RecordBatchReader | None:
        """Return the rows of a plain file by Arrow's parser."""
        return self._dialect.plain(files[0]).batches(readings)

    @property
    def _dialect(self) -> Dialect:
        return Dialect(self.delimiter, self.quote, self.header, self.names, self.null_words)

    def for_other_columns(self, files: Sequence[Path]) -> Self:
        """Return the reader of a file that may have other columns, or another order of them.

        ``names`` stand for the columns of one file, by their places. Where another file has other columns, or some of
        these names at other places, its own header says what they are.
        """
        if self.names is None or not self.header:
            return self
        with self._explained(files[0]):
            records = self._dialect.first_records(files[0])
        header = [name.strip().lower() for name in records[0]] if records else []
        places = {name.lower(): place for place, name in enumerate(self.names)}
        once = [(place, name) for place, name in enumerate(header) if header.count(name) == 1]
        if len(header) == len(places) and all(places.get(name, place) == place for place, name in once):
            return self
        if len(once) == len(header):
            return self.model_copy(update={"names": None})
        message = f"names stand for the {len(places)} columns of another file; write a header with names of these"
        raise UserError.at("names", f"{message}: {', '.join(self.names)}")

    @contextmanager
    def _explained(self, file: Path) -> Iterator[None]:
        """Say which key of YAML decides what is wrong with the beginning of a file."""
        try:
            yield
        except DialectError as error:
            raise UserError.at(error.key, str(error)) from error
        except UnicodeDecodeError as error:
            key, message = not_utf8(file) or ("encoding", "it is not UTF-8")
            raise UserError.at(key, message) from error

    def numbers(self) -> Numbers:
        """Return how numbers are written."""
        return Numbers(self.decimal, self.thousands or "")

    def blame(self, error: EngineError, files: Sequence[Path], session: Session) -> tuple[str, str] | None:
        """Find the line."""
        if "unicode" in str(error) or "utf-8" in str(error):
            return not_utf8(files[0])
        found = explain_csv(error)
        return ("source", found) if found else None

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a file in a zip archive."""
        import pyarrow.csv as pc

        pc.write_csv(rows, folder / "rows.csv")
        with zipfile.ZipFile(folder / "rows.csv.zip", "w") as archive:
            archive.write(folder / "rows.csv", "rows.csv")
        return {"source": "rows.csv.zip"}
