"""Which reader a table gets: the one that YAML names, or the one for the files that are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from proml_kedro.errors import UserError
from proml_kedro.extensions import table_readers
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.spec.table import TableSpec


def choose_reader(table: TableSpec, source: Source) -> TableReader:
    """Return the table as its reader.

    A reader that YAML does not name is found by the files, since a folder or a glob does not say what it holds.

    Raises:
        UserError: There is no such file, no reader for it, or several files for a reader that takes one.
    """
    if isinstance(table, TableReader) and not table.reads_files:
        return table
    if by_folder := _kind_of_folder(source):
        return _as(by_folder, table)
    files = source.files()
    kind = type(table) if isinstance(table, TableReader) and table.reader else _kind_of(files, source)
    if len(files) > 1 and not kind.many_files:
        raise _several(files, source)
    return _as(kind, table)


def _as(kind: type[TableReader], table: TableSpec) -> TableReader:
    if isinstance(table, kind):
        return table
    return kind.model_validate({name: getattr(table, name) for name in TableSpec.model_fields})


def _kind_of_folder(source: Source) -> type[TableReader] | None:
    folder = source.base_path / (source.place or source.text)
    if not folder.is_dir():
        return None
    readers: Iterator[type[TableReader]] = (table_readers.get(name) for name in table_readers.names())
    return next((one for one in readers if one.claims_folder(folder)), None)


def _kind_of(files: Sequence[Path], source: Source) -> type[TableReader]:
    readers: list[type[TableReader]] = [table_readers.get(name) for name in table_readers.names()]
    readers.sort(key=lambda one: not one.many_files)
    kinds = []
    for file in files:
        kind = next((one for one in readers if one.suffixes and file.name.lower().endswith(one.suffixes)), None)
        if kind is None:
            known = ", ".join(suffix for one in readers for suffix in one.suffixes)
            raise UserError.at(f"{source.key}.source", f"cannot read '{file.name}'; files end in {known}")
        kinds.append(kind)
    if len(set(kinds)) > 1:
        raise _several(files, source)
    return kinds[0]


def _several(files: Sequence[Path], source: Source) -> UserError:
    message = f"{len(files)} files match, and only Parquet files can be read as one table"
    return UserError.at(f"{source.key}.source", message)
