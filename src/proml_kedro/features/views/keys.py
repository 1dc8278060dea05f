"""The type that an entity's key has in every table, as it was decided when the tables were read."""

from __future__ import annotations

from collections.abc import Sequence

from proml_kedro.features.tables.keys import key_sql
from proml_kedro.features.tables.stored import Tables
from proml_kedro.results import TablesFacts


def keys_sql(tables: Tables, table: str, entities: Sequence[str]) -> dict[str, str]:
    """Return the value of each key in the rows of a table, in SQL; null where a row is nobody's.

    Args:
        tables: The problem's tables.
        table: The table; it has the columns.
        entities: The keys.
    """
    facts, schema = TablesFacts.read(tables.folder).keys, tables.relation(table)
    return {name: key_sql(name, table, facts[name], schema.type_of(name) or "") for name in entities}
