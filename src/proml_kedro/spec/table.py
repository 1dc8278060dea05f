"""Where a source table comes from. The ways to read one are in the registry ``table_readers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import model_validator

from proml_kedro.extensions import Registry, UnknownNameError, table_readers
from proml_kedro.spec.base import Name, Spec, Sql

CATALOG = "catalog:"
"""A table whose source begins with it is a dataset of Kedro's catalog."""


class TableSpec(Spec):
    """One source table: a file, or a query over other tables.

    Attributes:
        source: A CSV file (also ``.gz``, ``.zst`` or ``.zip``), a Parquet file, or a folder or glob of Parquet files,
            relative to the folder that holds ``conf``; JSON lines; an Arrow or Feather file; a SQLite file or a URL of
            PostgreSQL, both with ``table``; the folder of a Delta table; ``catalog:NAME`` for a dataset of the catalog;
            files of object stores and web servers (``s3://``, ``gs://``, ``az://``, ``https://``);
            ``package:NAME/PATH`` for a file inside an installed package; or ``generated:NAME`` for a table of the
            problem's generator.
        reader: How to read the source, which may have keys of its own. It is found by the end of the file's name when
            left out.
        credentials: A name in ``credentials.yml``, whose values are options of an object store, or headers of
            requests to a web server.
        query: SQL over other tables of the problem, by their names, in place of ``source``.
        select: Columns of the source that are read, all when left out. Of Parquet, CSV, Delta and PostgreSQL no others
            are read from where they lie.
        types: SQL type of columns where the one read from the file is not wanted, for example ``TIMESTAMPTZ``.
        date_format: Format of columns of text that hold dates or moments, such as ``%d/%m/%Y``, in the directives of
            ``strptime``.
        columns: Further columns as SQL expressions over the others, in order. One of the same name replaces a column,
            which is read as text, if its type is not in ``types``.
    """

    registries: ClassVar[Mapping[str, Registry[Any]]] = {"reader": table_readers}

    source: str | None = None
    reader: str | None = None
    credentials: str | None = None
    query: Sql | None = None
    select: list[str] = []
    types: dict[str, str] = {}
    date_format: dict[str, str] = {}
    columns: dict[Name, Sql] = {}

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the class of the reader that a piece of YAML names or needs; this one when there is none."""
        name = reader_of(value) if isinstance(value, Mapping) else None
        try:
            chosen: type[Spec] = table_readers.get(str(name)) if name else cls
        except UnknownNameError:
            return cls
        return chosen

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.source is None) == (self.query is None):
            raise ValueError("a table has a source, which is a file, or a query over other tables: one of the two")
        if self.reader is not None and self.source is None:
            raise ValueError("reader says how to read a source, and a query has none")
        if self.select and self.source is None:
            raise ValueError("select names columns of a source; a query names those that it reads itself")
        return self

    def selected(self, columns: Sequence[str]) -> list[str]:
        """List the columns that are read, in the order of the source; all of them where one of ``select`` is not there.

        Args:
            columns: Those of the source.
        """
        wanted = {one.lower() for one in self.select}
        found = [one for one in columns if one.lower() in wanted]
        return found if wanted and len(found) == len(wanted) else list(columns)


def reader_of(table: Mapping[str, Any]) -> str | None:
    """Return the reader that a table names or the text of its source calls for; None when only its files say."""
    if table.get("reader"):
        return str(table["reader"])
    source = table.get("source")
    if not isinstance(source, str):
        return None
    return next((name for name in table_readers.names() if table_readers.get(name).claims(source)), None)


AnyTable = table_readers.field(TableSpec, lambda entry: entry, key="reader", name_of=reader_of, optional=True)
"""The mapping of a table: ``reader``, or the source's text, names the reader, which checks the other keys."""
