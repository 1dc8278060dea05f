"""The type that an entity's key has in every table, decided by all of them: one key is one value everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from proml_kedro.engine.duckdb import is_number, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.tables.text import WHOLE
from proml_kedro.results import KeyFacts, KeyForm

_INT64 = "BETWEEN -9223372036854775808 AND 9223372036854775807"
_CANONICAL = "regexp_full_match({0}, '0|-?[1-9][0-9]{{0,18}}') AND TRY_CAST({0} AS BIGINT) IS NOT NULL"
_DECIMAL = "regexp_full_match({0}, '(0|-?[1-9][0-9]{{0,14}})\\.0*') AND TRY_CAST({0} AS BIGINT) IS NOT NULL"
_FRACTION = "regexp_full_match({0}, '-?(0|[1-9][0-9]*)\\.[0-9]+') AND TRY_CAST({0} AS DOUBLE) IS NOT NULL"


def key_facts(tables: Tables, keys: Mapping[str, Sequence[str]]) -> dict[str, KeyFacts]:
    """Decide on keys: whole numbers if they are so in the examples and numbers everywhere, otherwise text.

    A key that is a whole number is the same in ``1``, ``1.0`` and as a number in double precision. ``007`` is text.

    Args:
        tables: The tables that were read.
        keys: Entity → the tables with such a key, that of the examples first. What is not there is left out.
    """
    found = {}
    for entity, names in keys.items():
        rows = {name: tables.relation(name) for name in names if name in tables}
        forms = {name: form for name, one in rows.items() if (form := _form(one, entity)) is not None}
        first = next(iter(forms.values()), None)
        numbers = first in ("whole", "decimal") and "text" not in forms.values()
        zeros = "decimal" in forms.values() or any(_is_fractional(rows[name].type_of(entity)) for name in forms)
        found[entity] = KeyFacts("BIGINT" if numbers else "VARCHAR", forms, zeros and not numbers)
    return found


def _form(rows: Relation, entity: str) -> KeyForm | None:
    type_, column = rows.type_of(entity), quote(entity)
    if type_ is None:
        return None
    if WHOLE.fullmatch(type_):
        if type_ not in ("HUGEINT", "UBIGINT", "UHUGEINT"):
            return "whole"
        return "text" if _any(rows, f"{column} NOT {_INT64}") else "whole"
    if is_number(type_):
        exact = f"{column} = trunc({column}) AND abs({column}) <= 9007199254740992"
        return "number" if _any(rows, f"NOT ({exact})") else "decimal"
    if type_ != "VARCHAR":
        return "text"
    canonical, decimal, fraction = (one.format(column) for one in (_CANONICAL, _DECIMAL, _FRACTION))
    if _any(rows, f"{column} IS NOT NULL AND NOT ({canonical} OR {decimal} OR {fraction})") or not _any(
        rows, f"{column} IS NOT NULL"
    ):
        return "text"
    if _any(rows, fraction + f" AND NOT ({decimal})"):
        return "number"
    return "decimal" if _any(rows, decimal) else "whole"


def _any(rows: Relation, condition: str) -> bool:
    return bool(rows.engine.rows(f"SELECT 1 FROM {rows} WHERE {condition} LIMIT 1"))


def key_sql(entity: str, table: str, facts: KeyFacts, given: str) -> str:
    """Return the key in a row of a table, in SQL, as the type that it has everywhere; null when it is nobody's.

    Args:
        entity: The entity.
        table: The table.
        facts: What was decided.
        given: SQL type of the column in the table.
    """
    column, form = quote(entity), facts.forms.get(table, "text")
    if facts.type == "BIGINT":
        if form == "number":
            value = f"TRY_CAST({column} AS DOUBLE)"
            return f"CASE WHEN {value} = trunc({value}) THEN TRY_CAST({column} AS BIGINT) END"
        return f"CAST({column} AS BIGINT)"
    text = f"CAST({column} AS VARCHAR)"
    if _is_fractional(given):
        digits = f"CAST(TRY_CAST({column} AS HUGEINT) AS VARCHAR)"
        return f"CASE WHEN {column} = trunc({column}) THEN coalesce({digits}, {text}) ELSE {text} END"
    return f"regexp_replace({text}, '^(0|-?[1-9][0-9]*)\\.0+$', '\\1')" if facts.without_zeros else text


def _is_fractional(type_: str | None) -> bool:
    return type_ is not None and is_number(type_) and not WHOLE.fullmatch(type_)


def key_warnings(tables: Tables, keys: Mapping[str, KeyFacts]) -> Iterator[str]:
    """Say which keys look different in two tables, and how many rows belong to nobody for it."""
    for entity, one in keys.items():
        for table, form in one.forms.items():
            rows = tables.relation(table)
            if one.type == "BIGINT" and form == "number":
                given = rows.type_of(entity) or ""
                condition = f"{quote(entity)} IS NOT NULL AND ({key_sql(entity, table, one, given)}) IS NULL"
                (lost,) = rows.engine.row(f"SELECT count(*) FROM {rows} WHERE {condition}")
                yield f"{table}.{entity}: {lost:,} rows have a key with a fraction, and belong to nobody"
        if len(set(one.forms.values())) > 1:
            forms = ", ".join(f"{_FORMS[form]} in {table}" for table, form in one.forms.items())
            how = "whole numbers" if one.type == "BIGINT" else "text"
            yield f"key {entity}: {forms}; all are taken as {how}"


_FORMS = {
    "whole": "whole numbers",
    "decimal": "whole numbers written as 1.0",
    "number": "numbers, some with a fraction",
    "text": "text",
}
