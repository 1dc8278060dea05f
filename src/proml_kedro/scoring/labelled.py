"""Rows with labels, from a file as `kedro predict` reads it: what a model that has been fitted can learn from."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from proml_kedro.bundle import Bundle
from proml_kedro.bundle.row_scorer import with_neutral
from proml_kedro.engine.duckdb import enclosed, quote
from proml_kedro.engine.session import Session, connect
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.readers.base import Source
from proml_kedro.features.training.as_of import FeaturesAsOf
from proml_kedro.features.training.labels import kept, label_columns
from proml_kedro.models.columns import as_array
from proml_kedro.models.component import Examples, Input
from proml_kedro.scoring.job import StoredTables
from proml_kedro.scoring.known_rows import Learned, RowFacts, count_rows
from proml_kedro.scoring.plan import Plan, Planner
from proml_kedro.scoring.rows import Rows, file_rows, stored_rows
from proml_kedro.scoring.wrong_cells import WrongCells
from proml_kedro.spec import HardwareSpec
from proml_kedro.spec.training_set import EVENT_TIMESTAMP, LABEL, TIMESTAMP, WEIGHT

MOST_ROWS = 5_000_000
"""Rows that are read together; of more a model is fitted anew."""


@dataclass(frozen=True)
class LabelledTable:
    """A table of rows with labels.

    Attributes:
        bundle: Says what a row consists of, and what its label is.
        input: A file, a folder or glob of Parquet files, or the name of a table of the problem.
        base_path: What a relative input begins at.
        stored: Results of runs that may be read.
        hardware: The machine.
        as_of: The moment as of which features are looked up; that of each row, less the lead time, when it is None.
    """

    bundle: Bundle
    input: str
    base_path: Path
    stored: StoredTables
    hardware: HardwareSpec
    as_of: datetime | None = None

    def read(self, learned: Learned) -> tuple[Examples, RowFacts]:
        """Read all rows that have a label; numbers are float64.

        Args:
            learned: Up to when the model that is to learn from them has learned.

        Raises:
            UserError: What is wrong with the table, one line each.
        """
        try:
            with connect(self.hardware) as session, self._rows(session) as rows:
                plan = Planner(self.bundle.manifest, rows, self.as_of).plan(self.bundle.inputs)
                table = self._told(session, rows, plan)
                label = self.bundle.manifest.problem.label.expression
                where = f"{kept(self.bundle.manifest.problem)} AND {enclosed(label)} IS NOT NULL"
                facts = count_rows(session, rows.relation, where, plan.columns.get(TIMESTAMP), learned)
                return self._examples(plan, table), facts
        except UserError as error:
            raise UserError(
                *(one if one.where else replace(one, where=self.input) for one in error.mistakes)
            ) from error

    def _rows(self, session: Session) -> AbstractContextManager[Rows]:
        manifest = self.bundle.manifest
        if self.input in manifest.problem.tables and not (self.base_path / self.input).exists():
            return nullcontext(stored_rows(self.stored.table(self.input), session))
        return file_rows(Source("file", self.input, self.base_path), manifest, self.bundle.inputs, session)

    def _told(self, session: Session, rows: Rows, plan: Plan) -> Any:
        """Read the table; what is wrong with cells becomes a mistake of the file.

        Raises:
            UserError: Values are not of their type.
        """
        with WrongCells(plan, self.bundle.inputs, self.hardware, self._rows, self.input).named():
            return self._table(session, rows, plan)

    def _table(self, session: Session, rows: Rows, plan: Plan) -> Any:
        """Read labels, weights, keys and what of the inputs the rows hold, as an Arrow table."""
        problem = self.bundle.manifest.problem
        wanted = {name: sql for name, sql in label_columns(problem).items() if name in (LABEL, WEIGHT)}
        for name, sql in {LABEL: problem.label.expression, WEIGHT: problem.examples.weight}.items():
            _check(rows, name, sql)
        _check(rows, LABEL, problem.label.drop_when)
        labels = ", ".join(f"{sql} AS {quote(_own(name))}" for name, sql in wanted.items())
        query = f"SELECT {plan.sql}, {labels} FROM {rows.relation} WHERE {kept(problem)} LIMIT {MOST_ROWS + 1}"
        table = session.arrow(query)
        if len(table) > MOST_ROWS:
            raise UserError(Mistake("", f"has more than {MOST_ROWS:,} rows; of so many, fit the model anew"))
        return table

    def _examples(self, plan: Plan, table: Any) -> Examples:
        bundle, found = self.bundle, table
        if plan.looked_up:
            reader = FeaturesAsOf(bundle.manifest.features, plan.looked_up, self.stored.feature_tables(), self.hardware)
            found = reader.read(table.select([*reader.keys, EVENT_TIMESTAMP]))
        columns = {
            one.name: as_array((found if one.name in plan.looked_up else table)[one.name], one, "float64")
            for one in bundle.inputs
            if one.name not in plan.neutral
        }
        neutral = bundle.manifest.rows.neutral
        if plan.neutral:
            columns = dict(with_neutral(columns, {name: neutral[name] for name in plan.neutral}))
        label, weight = (
            as_array(table[_own(name)], Input(name, "float"), "float64") if _own(name) in table.column_names else None
            for name in (LABEL, WEIGHT)
        )
        if label is None:
            raise RuntimeError("labels were asked for")
        return Examples(columns, label, weight)


def _own(name: str) -> str:
    """Name a column so that no input has its name."""
    return f"__{name}"


def _check(rows: Rows, name: str, expression: str | None) -> None:
    """Check that the rows have what an expression is made of.

    Raises:
        UserError: They have not.
    """
    if expression is None:
        return
    type_, mistake = rows.relation.check_expression(expression, name)
    if type_ is None:
        why = mistake.message if mistake else "it has no value"
        raise UserError(Mistake("", f"the {name} needs `{expression}`: {why}"))
