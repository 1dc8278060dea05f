"""Tables → one Parquet file for each feature view: what a key's values are, and from when each is known."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.errors import EngineError, MachineError
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.views.check import blame, check_view, source_of, value_of
from proml_kedro.features.views.keys import keys_sql
from proml_kedro.features.views.windows import known_at, needs_order, snapshot_sql
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP

logger = logging.getLogger(__name__)

_ALWAYS = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
"""From when the values of a table that does not change are known."""


def compute_views(
    problem: ProblemSpec, features: FeaturesSpec, tables: Path, hardware: HardwareSpec, folder: Path
) -> None:
    """Compute every feature view that has a source into ``<view>.parquet``.

    A file holds the key columns, ``event_timestamp`` (when the values are known), ``created_timestamp`` (the same) and
    the features; no two rows share a key and a time: of several in the table, the last one counts. Rows without a key
    or a time are left out.

    Args:
        problem: The problem.
        features: Its features.
        tables: Folder of the problem's tables, as :func:`proml_kedro.features.tables.read.read_tables` writes them.
        hardware: The machine.
        folder: An empty folder to write to.

    Raises:
        UserError: Columns, expressions or types that do not work, for all views at once.
    """
    views = {name: view for name, view in features.views.items() if view.is_stored}
    with connect(hardware, folder) as session:
        read = Tables(session, tables)
        sources = {name: read.relation(source_of(view).table) for name, view in views.items()}
        mistakes = [one for name, view in views.items() for one in check_view(name, view, sources[name])]
        if mistakes:
            raise UserError(*mistakes)
        if hardware.engine is not None:
            from proml_kedro.features.views.portable.compute import compute_on_engine

            compute_on_engine(views, read, hardware, folder)
            return
        for name, view in views.items():
            keys = keys_sql(read, source_of(view).table, view.key)
            _View(name, view, keys).write(read, Tables(session, folder))


@dataclass(frozen=True)
class _View:
    """A view to compute.

    Attributes:
        name: Its name.
        view: What it is.
        keys: Its key columns, each with its value in SQL.
    """

    name: str
    view: FeatureViewSpec
    keys: Mapping[str, str]

    def write(self, tables: Tables, views: Tables) -> None:
        """Compute the view.

        Args:
            tables: Where it is read from.
            views: Where it is written to.
        """
        table = source_of(self.view).table
        order = ", ".join([*map(quote, self.keys), EVENT_TIMESTAMP])
        query = f"SELECT * FROM ({self._query(tables)}) ORDER BY {order}"
        try:
            rows = tables.session.write_parquet(query, views.file(self.name))
        except MachineError:
            raise
        except EngineError as error:
            raise blame(self.name, self.view, tables.relation(table), error) from error
        logger.info("feature view %s: %s rows", self.name, f"{rows:,}")

    def _query(self, tables: Tables) -> str:
        table = source_of(self.view).table
        if not self.view.is_windowed:
            return self._columns_sql(tables.relation(table, numbered=True).sql)
        relation = tables.relation(table, numbered=needs_order(self.view))
        return snapshot_sql(self.view, relation.sql, self.keys)

    def _columns_sql(self, relation: str) -> str:
        """The view's columns as they stand in the table, the last row for each key and time."""
        source = source_of(self.view)
        known = known_at(source) if source.event_time else _ALWAYS
        by = ", ".join(quote(name) for name in self.keys)
        columns = [f"{sql} AS {quote(name)}" for name, sql in self.keys.items()]
        columns += [f"{known} AS {EVENT_TIMESTAMP}", f"{known} AS {CREATED_TIMESTAMP}"]
        columns += [f"{value_of(field, one)} AS {quote(field)}" for field, one in self.view.features.items()]
        present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in [*self.keys, EVENT_TIMESTAMP])
        return f"""
SELECT * EXCLUDE (__position) FROM (
    SELECT {", ".join(columns)}, file_row_number AS __position FROM {relation}
) WHERE {present}
QUALIFY row_number() OVER (PARTITION BY {by}, {EVENT_TIMESTAMP} ORDER BY __position DESC) = 1"""
