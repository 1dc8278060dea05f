"""The one way to read tables that a run has written: by name, as lazy relations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session


@dataclass(frozen=True)
class Tables:
    """Tables of one folder: a problem's source tables, its feature tables, or a training set.

    Attributes:
        session: What reads them.
        folder: One Parquet file ``NAME.parquet`` for each table.
    """

    session: Session
    folder: Path
    _relations: dict[tuple[str, bool], Relation] = field(default_factory=dict, repr=False, compare=False)

    def file(self, name: str) -> Path:
        """Return where a table lies."""
        return self.folder / f"{name}.parquet"

    def __contains__(self, name: str) -> bool:
        return self.file(name).is_file()

    def relation(self, name: str, numbered: bool = False) -> Relation:
        """Return a table as a relation. Nothing is read, and its columns are asked for once at most.

        Args:
            name: The table.
            numbered: Whether to add a column ``file_row_number``, the place of a row in the table, from 0.
        """
        if (name, numbered) not in self._relations:
            self._relations[name, numbered] = self.session.parquet(self.file(name), numbered=numbered)
        return self._relations[name, numbered]
