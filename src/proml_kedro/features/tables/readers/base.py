"""What a table reader is: its YAML, how it makes a relation of a source, and whom it blames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.features.tables.files import fingerprint_of, locate
from proml_kedro.features.tables.text import PLAIN, Numbers, Reading
from proml_kedro.spec.credentials import Credentials, no_credentials
from proml_kedro.spec.table import TableSpec

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Source:
    """What a table is read from.

    Attributes:
        name: The table's name in the problem.
        text: The source as YAML has it.
        base_path: What relative paths are relative to.
        credentials: Gives credentials by their names.
        place: Where its files lie, if that is not what the text says: copies of files that lie elsewhere.
    """

    name: str
    text: str
    base_path: Path
    credentials: Credentials = field(default=no_credentials, compare=False)
    place: str = ""

    @property
    def key(self) -> str:
        """Where the table stands in the configuration."""
        return f"problem.tables.{self.name}"

    def files(self) -> list[Path]:
        """Return the files, sorted.

        Raises:
            UserError: There are none.
        """
        return locate(f"{self.key}.source", self.place or self.text, self.base_path)


class TableReader(TableSpec):
    """A table that can be read. A reader that users add is a subclass, registered by an entry point.

    :func:`proml_kedro.testing.check_table_reader` proves it. Rows come in the order of the source.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Ends of the names of files that it reads, in lower case; none for a reader that must be named in YAML."""
    many_files: ClassVar[bool] = False
    """Whether several files can be one table."""
    reads_files: ClassVar[bool] = True
    """Whether sources are files; if not, :meth:`fetch` and :meth:`fingerprint` are to be overridden."""
    reads_urls: ClassVar[bool] = False
    """Whether it reads from object stores itself; otherwise files that lie there are copied before."""
    is_text: ClassVar[bool] = False
    """Whether all columns of :meth:`relation` are text whose types the source does not say. They are then declared, or
    guessed by all cells; from a reader that knows types, text stays text where nothing else is declared."""

    @classmethod
    def claims(cls, source: str) -> bool:
        """Return whether the text of a source says that this reader is meant."""
        return bool(cls.suffixes) and source.lower().endswith(cls.suffixes)

    @classmethod
    def claims_folder(cls, folder: Path) -> bool:
        """Return whether a folder that is a source is this reader's, by what lies in it."""
        return False

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give the files to read, which stay while the block runs.

        Args:
            source: What to read.
            folder: For temporary files, which the reader removes.

        Raises:
            UserError: There are none.
        """
        yield source.files()

    def for_other_columns(self, files: Sequence[Path]) -> Self:
        """Return the reader of files that may have other columns than the source that YAML is about, such as no label.

        Args:
            files: What :meth:`fetch` gave of them.

        Raises:
            UserError: What YAML says of columns does not hold for these files, with a key inside of the table.
        """
        return self

    @abstractmethod
    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows. Nothing needs to be read yet.

        Args:
            files: What :meth:`fetch` gave: one file, or several if :attr:`many_files`.
            session: What will read them.

        Raises:
            EngineError: They cannot be read.
            UserError: So too, with a key inside of the table.
        """

    def batches(self, files: Sequence[Path], readings: Mapping[str, Reading]) -> pa.RecordBatchReader | None:
        """Return the rows of :meth:`relation` once, in a faster way that has some texts read as values already.

        What it gives has to be what the readings give of the text. Reading may fail: the relation is read then.

        Args:
            files: What :meth:`fetch` gave.
            readings: Column → how its text is read; other columns are left out.

        Returns:
            The rows; None where there is no such way.
        """
        return None

    def numbers(self) -> Numbers:
        """Return how numbers are written in text."""
        return PLAIN

    def fingerprint(self, source: Source) -> str:
        """Return a digest that differs when the source holds something else.

        Raises:
            UserError: There is no such source.
        """
        return fingerprint_of(source.files())

    def blame(self, error: EngineError, files: Sequence[Path], session: Session) -> tuple[str, str] | None:
        """Return where a source that could not be read to its end is broken; None when that is not known.

        Args:
            error: What the engine raised.
            files: What was read.
            session: What read them.

        Returns:
            A key inside of the table, such as ``source``, and what is wrong there.
        """
        return None

    @classmethod
    @abstractmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write rows in the reader's format and return the YAML that reads them, for the law.

        Args:
            rows: Columns ``n`` (int64), ``x`` (float64) and ``s`` (text), each with nulls; no text is empty or ``NA``.
            folder: Where to; ``source`` is relative to it.
        """
