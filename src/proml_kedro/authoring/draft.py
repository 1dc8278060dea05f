"""A table of a stranger while it is being understood: its YAML so far, why that is so, and how to read it with that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import Mistake, UserError, first_line
from proml_kedro.features.tables.choose_reader import choose_reader
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.spec.table import TableSpec


@dataclass
class Draft:
    """Table as it will stand in YAML.

    Attributes:
        name: Its name.
        file: Its file.
        source: The file as YAML names it.
        options: Keys of its reader, such as ``decimal``.
        types: SQL types of columns.
        date_format: Formats of columns.
        columns: Derived columns, in order.
        reasons: Why a key is as it is, by its dotted path inside of the table: `decimal`, `date_format.at`.
        undecided: Columns that can be read in several ways: what to write for each of them.
        names: Columns whose names YAML does not take: those that they are derived under.
        delimiter: What is between fields of a CSV file.
    """

    name: str
    file: Path
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    date_format: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    undecided: dict[str, Undecided] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    delimiter: str = ""

    def set(self, key: str, value: Any, why: str) -> None:
        """Set a key of the reader.

        Args:
            key: The key.
            value: Its value.
            why: What decided it.
        """
        self.options[key] = value
        self.reasons[key] = why

    def yaml(self) -> dict[str, Any]:
        """Return what stands in YAML, without what is empty."""
        parts = {"types": self.types, "date_format": self.date_format, "columns": self.columns}
        return {"source": self.source, **self.options, **{key: one for key, one in parts.items() if one}}

    def reader(self) -> TableReader:
        """Return the table as its reader.

        Raises:
            UserError: There is none for such a file.
        """
        values = {**self.yaml(), "source": str(self.file)}
        try:
            table = TableSpec.for_value(values).model_validate(values)
        except ValidationError as error:
            raise UserError(Mistake("", f"'{self.file}': {first_line(error)}")) from error
        assert isinstance(table, TableSpec)  # noqa: S101 for mypy
        return choose_reader(table, self.origin)

    @property
    def origin(self) -> Source:
        """Where it is read from."""
        return Source(self.name, str(self.file), Path())

    @contextmanager
    def opened(self, session: Session, folder: Path) -> Iterator[Relation]:
        """Give the rows as they stand in the file, which can be read while the block runs.

        Args:
            session: What reads them.
            folder: For temporary files.

        Raises:
            UserError: They cannot be read.
        """
        reader = self.reader()
        with reader.fetch(self.origin, folder) as files:
            try:
                yield reader.relation(files, session)
            except EngineError as error:
                key, message = reader.blame(error, files, session) or ("source", first_line(error))
                raise UserError.at(f"problem.tables.{self.name}.{key}", message) from error


@dataclass(frozen=True)
class Undecided:
    """Column that can be read in several ways, and nothing in the files says which is meant.

    Attributes:
        cell: One that shows it.
        ways: The line of YAML for each way, as key and value inside of the table, with what the cell then is.
        is_moment: Whether it is a date or moment in each of them.
    """

    cell: str
    ways: Mapping[str, tuple[str, Any]]
    is_moment: bool = False
