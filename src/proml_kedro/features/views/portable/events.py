"""What a view reads of a table, on its way to an engine: keys, moments, positions, and columns under names of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.engine.duckdb import cast, quote
from proml_kedro.engine.portable.expressions import columns_read, portable
from proml_kedro.engine.portable.values import KINDS, Column, Kind, NotPortableError, Part, convert
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.features.views.check import source_of
from proml_kedro.features.views.windows import known_at
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.features import ColumnFeature, FeatureViewSpec, WindowFeature

KNOWN, POSITION = "__known", "__position"

_HANDED: Mapping[Kind, str] = {"whole": "BIGINT", "single": "DOUBLE", "text": "VARCHAR"}
_WANTED: Mapping[str, Kind] = {"float": "number", "int": "whole", "bool": "truth", "str": "text"}


@dataclass(frozen=True)
class Events:
    """The rows that a view is computed from, as an engine reads them.

    Attributes:
        session: What parses expressions.
        columns: What expressions may name, by their names in lower case.
        vectors: Features that are vectors → their columns.
    """

    session: Session
    columns: Mapping[str, Column]
    vectors: Mapping[str, str]

    def expression(self, text: str) -> Part:
        """Return an expression over the columns.

        Raises:
            NotPortableError: Engines compute it differently.
        """
        return portable(self.session, text, self.columns)

    def value(self, field: str, feature: ColumnFeature) -> str:
        """Return a feature's value in one row.

        Raises:
            NotPortableError: Engines compute it differently.
        """
        if field in self.vectors:
            return self.vectors[field]
        if feature.dtype not in _WANTED:
            raise NotPortableError("is a vector that is computed; name the column itself")
        return known_value(self.expression(feature.expression or quote(field)), feature.dtype)


def known_value(part: Part, dtype: Dtype) -> str:
    """Return values as those of a feature; not-a-number counts as missing.

    Raises:
        NotPortableError: Engines convert them differently.
    """
    made = convert(part, _WANTED[dtype])
    return without_nan(made) if part.kind != "whole" else made.sql


def without_nan(part: Part) -> str:
    """Return values with null for not-a-number; minus zero becomes zero."""
    if part.kind not in ("number", "single"):
        return part.sql
    return f"CASE WHEN isnan({part.sql}) THEN NULL ELSE {part.sql} + 0e0 END"


def hand_over(
    session: Session, view: FeatureViewSpec, relation: Relation, keys: Mapping[str, str], file: Path
) -> Events:
    """Write what a view reads into a Parquet file: ``k0`` …, ``__known``, ``__position``, ``c0`` ….

    Rows without a key or a moment are left out.

    Args:
        session: What reads the table.
        view: The view.
        relation: The table, with the positions of its rows.
        keys: The view's keys, each with its value in SQL.
        file: The file.
    """
    vectors = {
        field: f"v{place}"
        for place, (field, one) in enumerate(view.features.items())
        if isinstance(one, ColumnFeature) and _is_plain_vector(one)
    }
    read = sorted(_names(session, view, vectors))
    known = {name.lower(): (name, _kind(type_)) for name, type_ in relation.schema.items()}
    columns = {name: Column(f"c{place}", known[name][1]) for place, name in enumerate(read) if name in known}
    handed = [f"{sql} AS k{place}" for place, sql in enumerate(keys.values())]
    moment = f"epoch_us({known_at(source_of(view))})" if source_of(view).event_time else "CAST(0 AS BIGINT)"
    handed += [f"{moment} AS {KNOWN}", f"file_row_number AS {POSITION}"]
    handed += [
        f"{_as_handed(quote(known[name][0]), one.kind)} AS {one.name}"
        for name, one in columns.items()
        if one.kind != "other"
    ]
    handed += [f"{cast(quote(field), view.features[field].dtype)} AS {name}" for field, name in vectors.items()]
    present = " AND ".join(f"{name} IS NOT NULL" for name in (KNOWN, *(f"k{place}" for place in range(len(keys)))))
    session.write_parquet(f"SELECT * FROM (SELECT {', '.join(handed)} FROM {relation}) WHERE {present}", file)
    return Events(session, _with_sizes(session, columns, file), vectors)


def _as_handed(column: str, kind: Kind) -> str:
    return f"CAST({column} AS {_HANDED[kind]})" if kind in _HANDED else column


def _kind(type_: str) -> Kind:
    return "text" if type_.startswith("ENUM") else KINDS.get(type_, "other")


def _is_plain_vector(feature: ColumnFeature) -> bool:
    return vector_size(feature.dtype) is not None and feature.expression is None


def _names(session: Session, view: FeatureViewSpec, vectors: Mapping[str, str]) -> set[str]:
    texts = (text for field, one in view.features.items() if field not in vectors for text in _texts(field, one))
    return {name for text in texts for name in columns_read(session, text)}


def _texts(field: str, feature: ColumnFeature | WindowFeature) -> Iterator[str]:
    if feature.expression:
        yield feature.expression
    elif isinstance(feature, ColumnFeature):
        yield quote(field)
    if isinstance(feature, WindowFeature) and feature.filter:
        yield feature.filter


def _with_sizes(session: Session, columns: Mapping[str, Column], file: Path) -> dict[str, Column]:
    """The columns, those of whole numbers with the size of their largest one."""
    whole = {name: one for name, one in columns.items() if one.kind == "whole"}
    if not whole:
        return dict(columns)
    largest = ", ".join(f"max(abs(CAST({one.name} AS HUGEINT)))" for one in whole.values())
    found = session.row(f"SELECT {largest} FROM {session.parquet(file)}")
    sized = {
        name: Column(one.name, one.kind, int(size or 0)) for (name, one), size in zip(whole.items(), found, strict=True)
    }
    return {**columns, **sized}
