"""Parquet: a file, a folder or a glob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proml_kedro.engine.duckdb import files_literal, parquet, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.readers.base import TableReader
from proml_kedro.features.tables.readers.copies import MOST_DIGITS, check_names

if TYPE_CHECKING:
    import pyarrow as pa


class ParquetReader(TableReader):
    """A Parquet file, or a folder or glob of such. Files may lack columns that others have."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    many_files: ClassVar[bool] = True

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows of all files.

        Raises:
            UserError: Files do not agree on a column: a folder's name and its file, or a whole number that is in double
                precision elsewhere and does not fit there. Or a column has more digits than are kept, or two have one
                name.
        """
        # Writers leave not-a-number out of a column's statistics, from which DuckDB 2.0 concludes that there is none.
        session.disable("statistics_propagation")
        _check_names(files)
        partitioned = self._is_partitioned(files)
        if partitioned:
            _check_folders(files, session)
        _check_whole_numbers(files, session)
        _check_digits(files, session)
        return session.parquet(*files, union_by_name=True, partitioned=partitioned)

    def _is_partitioned(self, files: Sequence[Path]) -> bool:
        """Tell whether folders below the source are called ``name=value``, which makes columns of them.

        Raises:
            UserError: So is one around the source, which the engine would take for a column too.
        """
        below = [_folders_below(self.source or "", file) for file in files]
        inside = {part for folders in below for part in folders if "=" in part}
        around = [
            part
            for file, folders in zip(files, below, strict=True)
            for part in file.parent.parts[: len(file.parent.parts) - len(folders)]
            if "=" in part
        ]
        if inside and around:
            message = f"lies in a folder '{around[0]}', which would be a column as '{min(inside)}' is; rename it"
            raise UserError.at("source", message)
        return bool(inside)

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


def _folders_below(source: str, file: Path) -> tuple[str, ...]:
    """Return the folders between a source and one of its files, and those that the source itself names as columns.

    Of a copy, whose folders are others, those at its end that may be columns.
    """
    path = Path(source.partition(":")[2] or source)
    named = [
        part for part in takewhile(lambda part: not has_magic(part), path.parts) if part not in ("..", path.anchor)
    ]
    is_file = named[-1:] == [file.name]
    named = named[:-1] if is_file else named
    if is_file and not named:
        return ()
    first = next((place for place, part in enumerate(named) if "=" in part), len(named))
    parts = file.parent.parts
    starts = [one for one in range(len(parts) - len(named) + 1) if list(parts[one : one + len(named)]) == named]
    if named and starts:
        return parts[starts[-1] + first :]
    return tuple(reversed(list(takewhile(lambda part: "=" in part, reversed(parts)))))


def _check_names(files: Sequence[Path]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            names = pq.read_schema(file).names
        except (pa.ArrowException, OSError):  # the engine says what is wrong with it
            continue
        check_names(names, "source", f"in '{file.name}' ")


def _check_folders(files: Sequence[Path], session: Session) -> None:
    """Refuse a folder called ``column=value`` around files that hold the column themselves."""
    named = {part.partition("=")[0].lower() for file in files for part in file.parts[:-1] if "=" in part}
    if not named:
        return
    held = {name.lower() for name in session.columns(f"FROM {parquet(files[0])}")}
    for name in sorted(named & held):
        message = f"'{name}' is a column of the files, and of their folders' names too; rename the folders"
        raise UserError.at("source", message)


def _check_whole_numbers(files: Sequence[Path], session: Session) -> None:
    """Refuse whole numbers of one file that would be rounded, since another file has the column in double precision."""
    if len(files) == 1:
        return
    found = session.rows(
        "SELECT name, list(file_name) FILTER (type = 'INT64') "
        f"FROM parquet_schema({files_literal(files)}) "
        "GROUP BY name HAVING bool_or(type = 'INT64') AND bool_or(type IN ('DOUBLE', 'FLOAT'))"
    )
    for name, whole in found:
        column = f"CAST({quote(name)} AS HUGEINT)"
        rows = parquet(*map(Path, whole))
        (rounded,) = session.row(f"SELECT count(*) FROM {rows} WHERE abs({column}) > 9007199254740992")
        if rounded:
            message = (
                f"'{name}' is a whole number in some files and a number in others, where {rounded:,} would be rounded"
            )
            raise UserError.at("source", f"{message}; write it as one type in all files")


def _check_digits(files: Sequence[Path], session: Session) -> None:
    """Refuse decimals that the engine would read in double precision."""
    schema = f"parquet_schema({files_literal(files)})"
    for name, digits in session.rows(f"SELECT DISTINCT name, precision FROM {schema} WHERE precision > {MOST_DIGITS}"):
        message = f"'{name}' has numbers of {digits} digits and at most {MOST_DIGITS} are kept"
        raise UserError.at("source", f"{message}; write it as text, or with fewer")
