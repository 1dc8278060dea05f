"""Fresh rows → online store, at once: checked like a source, all or none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.engine.duckdb import cast, explain, find, quote, sql_type
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.session import Session, connect
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.online.store import NewRow, OnlineStore, entity_key, to_microseconds
from proml_kedro.features.tables.given import file_rows, fits_sql, value_sql
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.features import FeatureViewSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

MOMENT = EVENT_TIMESTAMP
"""The column with the moment from which a row's values are known."""

_MOMENTS = "TIMESTAMP WITH TIME ZONE"

_KINDS: dict[Dtype, str] = {"float": "double_val", "int": "int64_val", "bool": "bool_val", "str": "string_val"}


@dataclass(frozen=True)
class PushResult:
    """Outcome of a push.

    Attributes:
        rows: How many rows were given.
        late: How many of them are older than what the store already had, and changed nothing.
    """

    rows: int
    late: int


def push_rows(
    store: OnlineStore, name: str, view: FeatureViewSpec, given: Path | pa.Table, hardware: HardwareSpec
) -> PushResult:
    """Put rows of a view into the online store; one that is older than what is there changes nothing.

    Args:
        store: The store; it knows the view.
        name: Name of the view.
        view: Its declaration.
        given: A CSV or Parquet file, or a table of Arrow: the key, ``event_timestamp`` and every feature of the view.
        hardware: The machine.

    Raises:
        UserError: Columns are missing or unknown, or values are not of their type; nothing is written then.
        NotStoredError: The store does not know the view.
    """
    types = store.key_types(name)
    with connect(hardware) as session:
        relation = _relation(session, given)
        wanted = {**{key: "int" if types[key] == "int" else "str" for key in types}, **view.columns()}
        mistakes = list(_check_columns(name, wanted, session.relation(relation).schema))
        mistakes = mistakes or list(_check_values(session, relation, name, wanted, list(types)))
        if mistakes:
            raise UserError(*mistakes)
        given_types = session.relation(relation).schema
        columns = [f"epoch_us({_value(MOMENT, given_types, None)})"]
        columns += [_value(column, given_types, wanted[column]) for column in (*types, *view.columns())]
        values = session.rows(f"SELECT {', '.join(columns)} FROM {relation}")
    made = to_microseconds(datetime.now(UTC))
    new = [_row(types, value, made) for value in values]
    there = store.read(name, [one[0] for one in new])
    late = sum(one[0] in there and one[1] < there[one[0]][0] for one in new)
    layout = tuple((feature, _KINDS.get(dtype, "float_list_val")) for feature, dtype in view.columns().items())
    store.write(name, layout, new)
    return PushResult(len(new), late)


def _row(types: Mapping[str, str], value: tuple[Any, ...], made: int) -> NewRow:
    moment, rest = value[0], value[1:]
    key = entity_key(types, dict(zip(types, rest, strict=False)))
    return key, moment, made, [list(one) if isinstance(one, tuple) else one for one in rest[len(types) :]]


def _value(column: str, given: Mapping[str, str], dtype: Dtype | None) -> str:
    """A column as its type, in SQL; as a moment without one."""
    if dtype is not None and vector_size(dtype) is not None:
        return cast(quote(column), dtype)
    value = value_sql(column, find(column, given) or "", sql_type(dtype) if dtype else _MOMENTS)
    return f"nullif({value}, 'nan'::DOUBLE)" if dtype == "float" else value


def _relation(session: Session, given: Path | pa.Table) -> str:
    """Make the rows a table in SQL.

    Raises:
        UserError: The file cannot be read.
    """
    if not isinstance(given, Path):
        session.register("given", given)
        return "given"
    try:
        with file_rows(given, session, "") as rows:
            session.run(f"CREATE TEMP TABLE given AS SELECT * FROM {rows}")
    except (EngineError, OSError) as error:
        reason = explain(error) if isinstance(error, EngineError) else type(error).__name__
        raise UserError(Mistake("", f"cannot read '{given.name}': {reason}")) from error
    return "given"


def _check_columns(name: str, wanted: Mapping[str, Dtype], columns: Mapping[str, str]) -> Iterator[Mistake]:
    for one in (*wanted, MOMENT):
        if find(one, columns) is None:
            yield Mistake("", f"the rows lack the column '{one}' of the view '{name}'")
    known = {one.lower() for one in (*wanted, MOMENT, CREATED_TIMESTAMP)}
    for one in columns:
        if one.lower() not in known:
            yield Mistake("", f"the view '{name}' has {unknown('column', one, wanted)}")


def _check_values(
    session: Session, relation: str, name: str, wanted: Mapping[str, Dtype], keys: list[str]
) -> Iterator[Mistake]:
    """Find values of another type, and missing keys or moments. Messages name rows by number, never by value."""
    typed = {one: sql_type(dtype) for one, dtype in wanted.items()} | {MOMENT: _MOMENTS}
    given = session.relation(relation).schema
    for column, type_ in typed.items():
        value = quote(column)
        # DuckDB stops at a list of another length even where it is asked to try.
        size = vector_size(wanted.get(column, "float"))
        lists = f"len(TRY_CAST({value} AS FLOAT[]))"
        fits = fits_sql(column, find(column, given) or "", type_)
        fails = f"{lists} IS DISTINCT FROM {size}" if size else f"NOT {fits}"
        bad, first = _count(session, relation, f"{value} IS NOT NULL AND {fails}")
        if bad:
            called = "TIMESTAMPTZ" if type_ == _MOMENTS else type_
            yield Mistake("", f"'{column}' of '{name}': no {called} in {_rows(bad)}, first in row {first}")
        if column in (*keys, MOMENT):
            gone, first = _count(session, relation, f"{value} IS NULL")
            if gone:
                yield Mistake("", f"'{column}' of '{name}': missing in {_rows(gone)}, first in row {first}")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _count(session: Session, relation: str, condition: str) -> tuple[int, int]:
    query = f"SELECT count(*), min(row) FROM (SELECT *, row_number() OVER () AS row FROM {relation}) WHERE {condition}"
    count, first = session.row(query)
    return count, first
