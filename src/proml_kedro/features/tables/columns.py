"""Which type each column of a source is read as, and why: what is declared, or what all cells of it allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proml_kedro.engine.duckdb import find, is_moment, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.tables.dates import reading_in
from proml_kedro.features.tables.declared import Declared
from proml_kedro.features.tables.guess import Open, guess
from proml_kedro.features.tables.text import MOMENTS, PLAIN, WHOLE, Numbers, Reading, guesses, reading_of
from proml_kedro.spec.table import TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

TEXT = reading_of("VARCHAR")
_COMMON_TYPES = [
    "DOUBLE",
    "BIGINT",
    "BOOLEAN",
    "VARCHAR",
    "TIMESTAMPTZ",
    "TIMESTAMP",
    "DATE",
    "INTEGER",
    "DECIMAL",
    "TEXT",
]


@dataclass(frozen=True)
class Column:
    """How a column of a source is read.

    Attributes:
        reading: How its text is read; None for a column that is no text in the source.
        type: SQL type of its values.
        why: What decided, for people.
        moment: The key that says that it is a moment; None when none does.
        undecided: Formats that all read it, to different moments.
        formats: How many cells each format leaves, where none reads all.
        by_sample: Whether that was guessed by the beginning of the file.
    """

    reading: Reading | None
    type: str
    why: str
    moment: str | None = None
    undecided: tuple[str, ...] = ()
    formats: Mapping[str, int] = field(default_factory=dict)
    by_sample: bool = False

    def condition(self, name: str, given: str) -> str | None:
        """Return the condition for a cell to be null or such a value, None when every cell is.

        Args:
            name: Its name.
            given: Its type in the source.
        """
        if self.reading is not None:
            return self.reading.condition(quote(name)) if self.reading.type != "VARCHAR" else None
        if self.type == given:
            return None
        tried = cast_sql(quote(name), given, self.type, lenient=True)
        return f"({quote(name)} IS NULL OR ({tried}) IS NOT NULL)"

    @property
    def called(self) -> str:
        """What its values are, in the plural, for messages."""
        return (self.reading or reading_of(self.type)).called

    def sql(self, name: str, given: str) -> str | None:
        """Return the expression that replaces the column, None when it stays as it is.

        Args:
            name: Its name.
            given: Its type in the source.
        """
        if self.reading is not None:
            return self.reading.sql(quote(name)) if self.reading.type != "VARCHAR" else None
        return cast_sql(quote(name), given, self.type) if self.type != given else None


def cast_sql(value: str, given: str, wanted: str, lenient: bool = False) -> str:
    """Return a value of one type as another, in SQL. A number with a fraction is no whole number, and never rounded.

    Args:
        value: The value; no text.
        given: Its SQL type.
        wanted: The other one.
        lenient: Whether what is no such value is null, rather than an error.
    """
    cast = f"{'TRY_CAST' if lenient else 'CAST'}({value} AS {wanted})"
    if WHOLE.fullmatch(wanted) and given.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        other = "" if lenient else f" WHEN {value} IS NOT NULL AND NOT isnan({value}::DOUBLE) THEN error('')"
        return f"CASE WHEN {value} = trunc({value}) THEN {cast}{other} END"
    return cast


@dataclass(frozen=True)
class ColumnTypes:
    """Decides on the columns of one table.

    Attributes:
        name: The table.
        table: What the problem says of it.
        declared: What features say of its columns.
        numbers: How numbers are written in it.
        is_text: Whether its columns are text whose types nothing says; guessed where nothing is declared.
    """

    name: str
    table: TableSpec
    declared: Declared
    numbers: Numbers = PLAIN
    is_text: bool = False

    @property
    def _key(self) -> str:
        return f"problem.tables.{self.name}"

    def decide(self, rows: Relation, surely: bool = True) -> dict[str, Column]:
        """Return how each column is read.

        Args:
            rows: The source.
            surely: Whether guesses look at all cells, rather than at the beginning of the file where that tells.

        Raises:
            UserError: A type, a format or a column in the configuration is none.
        """
        types = self._checked(rows)
        columns: dict[str, Column] = {}
        open_: dict[str, Open] = {}
        for name, given in rows.schema.items():
            decided = self._decided(name, given, types)
            if isinstance(decided, Open):
                open_[name] = decided
            else:
                columns[name] = decided
        for name, one in guess(rows, open_, surely).items():
            reading, wanted = one.reading or TEXT, open_[name]
            why = wanted.why or one.why or "guessed: text"
            columns[name] = Column(reading, reading.type, why, wanted.moment, one.undecided, one.left, one.by_sample)
        return {name: columns[name] for name in rows.schema}

    def _decided(self, name: str, given: str, types: Mapping[str, str]) -> Column | Open:
        low, key = name.lower(), self._key
        moment = self.declared.moments.get(self.name, {}).get(low)
        format_ = {one.lower(): text for one, text in self.table.date_format.items()}.get(low)
        if given != "VARCHAR":
            return Column(None, types.get(low, given), f"{key}.types" if low in types else "as in the source", moment)
        if format_ is not None:
            reading = reading_in(format_, types.get(low))
            return Column(reading, reading.type, f"{key}.date_format", moment)
        if low in types:
            if is_moment(types[low]):
                own = {types[low]: reading_of(types[low])}
                return Open(own, types[low], f"{key}.types", moment=f"{key}.types.{name}", formats=True)
            return self._read_as(types[low], f"{key}.types")
        if low in {one.lower() for one in self.table.columns}:
            return Column(TEXT, "VARCHAR", f"{key}.columns replaces it")
        return self._by_features(name, moment)

    def _by_features(self, name: str, moment: str | None) -> Column | Open:
        declared = self.declared.types.get(self.name, {}).get(name.lower())
        if moment is not None:
            more = {one: reading for one, reading in guesses(self.numbers).items() if one in ("BIGINT", "DOUBLE")}
            return Open({**MOMENTS, **(more if self.is_text else {})}, moment=moment, formats=True)
        is_key = self.declared.is_key(self.name, name)
        if declared and declared.type and (not is_key or declared.type in ("VARCHAR", "BIGINT")):
            return self._read_as(declared.type, f"declared by {declared.by}")
        if not self.is_text:
            return Column(TEXT, "VARCHAR", "as in the source")
        known = guesses(self.numbers)
        return Open({"BIGINT": known["BIGINT"]}) if is_key else Open(known, formats=True)

    def _read_as(self, type_: str, why: str) -> Column:
        reading = reading_of(type_, self.numbers)
        return Column(reading, type_, why)

    def _checked(self, rows: Relation) -> dict[str, str]:
        """The declared types as the engine calls them, by column in lower case."""
        mistakes = list(_unknown_columns(self.table, rows.schema, self._key))
        types = {}
        for name, type_ in self.table.types.items():
            try:
                types[name.lower()] = rows.engine.columns(f"SELECT CAST(NULL AS {type_}) AS one")["one"]
            except EngineError:
                mistakes.append(Mistake(f"{self._key}.types.{name}", unknown("type", type_, _COMMON_TYPES)))
                continue
            if types[name.lower()] in ("HUGEINT", "UHUGEINT"):  # Parquet has no such type, and DuckDB writes DOUBLE
                message = (
                    f"{type_} would be rounded when it is stored; write VARCHAR for a key, DECIMAL(38,0) for a number"
                )
                mistakes.append(Mistake(f"{self._key}.types.{name}", message))
        for name, format_ in self.table.date_format.items():
            given = find(name, rows.schema)
            if given not in (None, "VARCHAR"):
                message = f"'{name}' is {given} in the source, not text; a format has nothing to read"
                mistakes.append(Mistake(f"{self._key}.date_format.{name}", message))
            elif "%" not in format_ or not _is_format(rows, format_):
                message = f'\'{format_}\' is no format; write for example "%d/%m/%Y" or "%m/%d/%Y %H:%M"'
                mistakes.append(Mistake(f"{self._key}.date_format.{name}", message))
        if mistakes:
            raise UserError(*mistakes)
        return types


def _unknown_columns(table: TableSpec, columns: Mapping[str, str], key: str) -> Iterator[Mistake]:
    for part, names in (("types", table.types), ("date_format", table.date_format)):
        for name in names:
            if find(name, columns) is None:
                yield Mistake(f"{key}.{part}.{name}", unknown("column", name, columns))


def _is_format(rows: Relation, format_: str) -> bool:
    reading = reading_in(format_)
    try:
        rows.engine.rows(f"SELECT {reading.lenient_sql('x')} FROM (SELECT '2024' AS x)")
    except EngineError:
        return False
    return True


def typed(rows: Relation, columns: Mapping[str, Column]) -> Relation:
    """Return a source with its columns read. Text that does not fit makes the engine fail, once rows are read."""
    given = rows.schema
    changes = {name: sql for name, one in columns.items() if (sql := one.sql(name, given[name]))}
    return rows.replace(changes, {name: columns[name].type for name in changes})


Batches = Callable[[Mapping[str, Reading]], "pa.RecordBatchReader | None"]
"""How a source gives its rows once, with some of its texts as values already: see ``TableReader.batches``."""


def no_batches(readings: Mapping[str, Reading]) -> None:
    """Give none, which is what a source does that has one way to be read."""


@contextmanager
def once_typed(batches: Batches, columns: Mapping[str, Column], session: Session) -> Iterator[Relation | None]:
    """Give what :func:`typed` gives, read in a faster way and once; None where a source has no such way.

    Args:
        batches: The rows, by how their text is to be read.
        columns: How each column is read.
        session: What reads them.
    """
    readings = {name: one.reading for name, one in columns.items() if one.reading is not None}
    rows = batches(readings) if len(readings) == len(columns) else None
    if rows is None:
        yield None
        return
    values = {one.name for one in rows.schema if str(one.type) != "string"}
    types = {name: one.type if name in values else "VARCHAR" for name, one in columns.items()}
    with session.once(rows, types) as once:
        yield typed(
            once, {name: replace(one, reading=None) if name in values else one for name, one in columns.items()}
        )
