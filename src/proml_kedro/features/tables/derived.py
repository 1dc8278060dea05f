"""Columns that are derived from others of a table, each of which later ones may read, or that replace one."""

from __future__ import annotations

from dataclasses import dataclass

from proml_kedro.engine.duckdb import enclosed, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import UserError
from proml_kedro.spec.table import TableSpec


@dataclass(frozen=True)
class DerivedColumns:
    """The derived columns of one table.

    Attributes:
        table: The table.
        key: Where it stands in the configuration.
    """

    table: TableSpec
    key: str

    def add(self, relation: Relation) -> Relation:
        """Return a relation with the derived columns."""
        there = {name.lower() for name in relation.schema}
        for name, expression in self.table.columns.items():
            relation = _with(relation, name, enclosed(expression), name.lower() in there)
            there.add(name.lower())
        return relation

    def check(self, relation: Relation) -> None:
        """Check all expressions over a relation, which should have no rows.

        Raises:
            UserError: An expression does not work.
        """
        mistakes = []
        for name, expression in self.table.columns.items():
            key = f"{self.key}.columns.{name}"
            _, mistake = relation.check_expression(expression, key)
            if mistake:
                mistakes.append(mistake)
            value = "NULL" if mistake else enclosed(expression)  # so that later columns are checked too
            relation = _with(relation, name, value, relation.type_of(name) is not None)
        if mistakes:
            raise UserError(*mistakes)

    def first_failing(self, relation: Relation) -> str | None:
        """Return the first column whose values cannot be computed, or that is derived from such a one."""
        with_columns = self.add(relation)
        return next((name for name in self.table.columns if _fails(name, with_columns)), None)


def _with(relation: Relation, name: str, value: str, replaces: bool) -> Relation:
    column = f"{value} AS {quote(name)}"
    return relation.select(f"* REPLACE ({column})" if replaces else f"*, {column}")


def _fails(column: str, relation: Relation) -> bool:
    try:
        relation.engine.rows(f"SELECT count({quote(column)}) FROM {relation}")
    except EngineError:
        return True
    return False
