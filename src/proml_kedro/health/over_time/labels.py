"""Labels that come later: a table with what happened, and since when that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proml_kedro.engine.duckdb import find, is_number, literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.given import fits_sql, value_sql
from proml_kedro.spec.problem import Task

LABEL, KNOWN_AT, REQUEST, ROW, AS_OF = "label", "known_at", "request_id", "row", "as_of"

_MOMENT = "TIMESTAMP WITH TIME ZONE"


@dataclass(frozen=True)
class Labels:
    """Labels, checked: one for each value of the ids at each moment that it became known.

    Attributes:
        rows: Columns ``ids``, ``value`` (a number; of classes, from 0) and ``known_at``.
        ids: Columns by which a label finds its predictions, all of which have a value in each row.
        empty: Number of rows without a label, which are left out.
    """

    rows: Relation
    ids: tuple[str, ...]
    empty: int = 0

    @property
    def by_request(self) -> bool:
        """Whether labels name requests."""
        return REQUEST in self.ids


@dataclass(frozen=True)
class Reader:
    """Reader of a table of labels.

    Attributes:
        key: Where the table is named, for messages.
        task: Task of the label.
        classes: Names of its classes, in the order of their numbers; empty for other tasks.
        entities: Key columns of the examples, with their types.
        timestamp: What the examples' table calls their moment; None where there is none.
    """

    key: str
    task: Task
    classes: Sequence[str]
    entities: Mapping[str, str]
    timestamp: str | None

    def read(self, rows: Relation) -> Labels:
        """Check a table of labels and read it with its types. A row without a label says nothing and is left out.

        Args:
            rows: With columns ``label`` and ``known_at``, and either ``request_id`` and perhaps ``row``, or all keys
                of the examples and the moment that they are about.

        Raises:
            UserError: A column is missing, or a cell is no value of its type.
        """
        ids = self._ids(rows)
        missing = [name for name in (LABEL, KNOWN_AT) if find(name, rows.schema) is None]
        if missing:
            raise self._wrong(f"it has no column {' and no column '.join(map(repr, missing))}")
        label_type = self._type(rows)
        types = {**dict(ids.values()), LABEL: label_type, KNOWN_AT: _MOMENT}
        labelled = rows.select("*", _has_label(rows))
        self._check_cells(labelled, types)
        read = {
            name: value_sql(called, rows.schema[_own(called, rows)], type_) for name, (called, type_) in ids.items()
        }
        value = value_sql(LABEL, rows.schema[_own(LABEL, rows)], label_type)
        known = _end_of_day(rows, value_sql(KNOWN_AT, rows.schema[_own(KNOWN_AT, rows)], _MOMENT))
        columns = [f"{sql} AS {quote(name)}" for name, sql in read.items()]
        typed = labelled.select(", ".join([*columns, f"{self._number(value)} AS value", f"{known} AS {KNOWN_AT}"]))
        self._check_values(typed, list(ids))
        (empty,) = rows.engine.row(f"SELECT count(*) FILTER (NOT ({_has_label(rows)})) FROM {rows}")
        return Labels(typed, tuple(ids), empty)

    def _ids(self, rows: Relation) -> dict[str, tuple[str, str]]:
        """Find the columns that say which predictions a label is of: what they are, how they are called, their type."""
        if find(REQUEST, rows.schema):
            found = {REQUEST: (REQUEST, "VARCHAR")}
            return found | ({ROW: (ROW, "BIGINT")} if find(ROW, rows.schema) else {})
        moment = next((one for one in (AS_OF, self.timestamp) if one and find(one, rows.schema)), None)
        gone = [repr(name) for name in self.entities if not find(name, rows.schema)]
        if moment is None or gone or not self.entities:
            needed = [*map(repr, self.entities), repr(AS_OF)]
            raise self._wrong(f"it has neither a column '{REQUEST}' nor the columns {', '.join(needed)}")
        keys = {name: (name, "BIGINT" if kind == "int" else "VARCHAR") for name, kind in self.entities.items()}
        return {**keys, AS_OF: (moment, _MOMENT)}

    def _type(self, rows: Relation) -> str:
        """Choose what labels are read as. Numbers stay numbers: a cast to a truth value would take 0.7 for true."""
        given = rows.schema[_own(LABEL, rows)]
        if self.task == "multiclass":
            return "VARCHAR"
        if self.task != "binary" or is_number(given):
            return "DOUBLE"
        numbers = f"SELECT count(*) FILTER (NOT {fits_sql(LABEL, given, 'DOUBLE')}) FROM {rows}"
        return "DOUBLE" if given == "VARCHAR" and not rows.engine.row(numbers)[0] else "BOOLEAN"

    def _number(self, value: str) -> str:
        if self.task == "multiclass":
            names = ", ".join(map(literal, self.classes))
            return f"CAST(list_position([{names}], {value}) - 1 AS DOUBLE)"
        return f"CAST({value} AS DOUBLE)"

    def _check_cells(self, rows: Relation, types: Mapping[str, str]) -> None:
        """Refuse cells that are no values of their column's type, by their number alone."""
        tests = {name: fits_sql(name, rows.schema[_own(name, rows)], type_) for name, type_ in types.items()}
        counted = ", ".join(f"count(*) FILTER (NOT coalesce({test}, false))" for test in tests.values())
        counts = rows.engine.row(f"SELECT {counted} FROM {rows}")
        words = {**dict.fromkeys(types, "whole numbers"), LABEL: self._words(), KNOWN_AT: "moments", AS_OF: "moments"}
        if self.timestamp:
            words[self.timestamp] = "moments"
        mistakes = [
            Mistake("", f"{name}: {count:,} cells are no {words[name]}", self.key)
            for name, count in zip(tests, counts, strict=True)
            if count
        ]
        if mistakes:
            raise UserError(*mistakes)

    def _words(self) -> str:
        classes = f"names of classes ({', '.join(self.classes)})"
        named = {"binary": "truth values (0 and 1, or true and false)", "multiclass": classes}
        return named.get(self.task, "finite numbers")

    def _check_values(self, typed: Relation, ids: Sequence[str]) -> None:
        """Refuse labels that say nothing of when they became known, of what they are, or two things at once."""
        listed = ", ".join(map(quote, ids))
        nulls = " OR ".join(f"{quote(name)} IS NULL" for name in ids)
        unknown = "value IS NULL OR isnan(value) OR isinf(value)"
        if self.task == "binary":
            unknown += " OR value NOT IN (0, 1)"
        nameless, undated, odd = typed.engine.row(
            f"SELECT count(*) FILTER ({nulls}), count(*) FILTER ({KNOWN_AT} IS NULL), count(*) FILTER ({unknown}) "
            f"FROM {typed}"
        )
        (contradicting,) = typed.engine.row(
            f"SELECT count(*) FROM (SELECT 1 FROM {typed} GROUP BY {listed}, {KNOWN_AT} "
            "HAVING count(DISTINCT value) > 1)"
        )
        found = {
            f"have no value in {' or '.join(ids)}": nameless,
            f"have no '{KNOWN_AT}', so that nothing says since when they count": undated,
            f"are no {self._words()}": odd,
            "contradict another one that became known at the same moment": contradicting,
        }
        mistakes = [Mistake("", f"{count:,} labels {words}", self.key) for words, count in found.items() if count]
        if mistakes:
            raise UserError(*mistakes)

    def _wrong(self, message: str) -> UserError:
        return UserError(Mistake("", message, self.key))


def _end_of_day(rows: Relation, moment: str) -> str:
    """A moment that is written as a day is the end of that day: at its begin the label was not known yet."""
    given, cell = rows.schema[_own(KNOWN_AT, rows)], f"trim({quote(KNOWN_AT)})"
    is_day = {"DATE": "true", "VARCHAR": f"NOT contains({cell}, ':')"}.get(given)
    return f"{moment} + CASE WHEN {is_day} THEN INTERVAL 1 DAY ELSE INTERVAL 0 DAY END" if is_day else moment


def _has_label(rows: Relation) -> str:
    """The condition for a row to have a label; not-a-number, which frames write for nothing, is none."""
    name, type_ = quote(LABEL), rows.schema[_own(LABEL, rows)]
    is_float = type_.startswith(("DOUBLE", "FLOAT"))
    return f"{name} IS NOT NULL" + (f" AND NOT isnan({name})" if is_float else "")


def _own(name: str, rows: Relation) -> str:
    """The name of a column as the table writes it."""
    return next(column for column in rows.schema if column.lower() == name.lower())
