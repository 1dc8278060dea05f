"""Point-in-time joins on an engine: by one SQL text for DuckDB, Sail and Spark, without ASOF.

The rows of a feature table are in the order of its key and time, so their number grows with the time of a key. The
latest one at a moment is the largest number at or before it: one running maximum over events and examples together.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.engine.duckdb import microseconds, quote
from proml_kedro.engine.session import Session, connect
from proml_kedro.engine.spark.ordered import in_order, write_parquet
from proml_kedro.engine.spark.session import SparkSession, blaming, connect_engine
from proml_kedro.errors import UserError
from proml_kedro.features.training.join import PointInTimeJoin
from proml_kedro.features.views.check import source_of
from proml_kedro.results.names import table_file
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

EVENTS, ASKED = "handed_events", "handed_asked"
"""Names under which an engine knows the rows of a feature table and those that ask for them."""

_ROW, _ROWS = "file_row_number", "rows.parquet"


def latest_query(keys: Sequence[str], values: int, ttl: timedelta | None) -> str:
    """Return the query for the latest values of each row, in the order of their numbers ``rid``.

    Args:
        keys: Names of the keys in both tables.
        values: How many features the events have: ``f0`` ….
        ttl: How long a value holds; for ever when None.
    """
    by = ", ".join(keys)
    known = " AND ".join(f"{key} IS NOT NULL" for key in (*keys, "t"))
    frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    # At one moment events come first; nothing is known before the first one, nor at an unknown moment.
    latest = f"max(e) OVER (PARTITION BY {by} ORDER BY t NULLS FIRST, q NULLS FIRST {frame})"
    names = ", ".join(f"events.f{place} AS f{place}" for place in range(values))
    holds = f" AND matched.t - events.t <= {microseconds(ttl)}" if ttl is not None else ""
    return f"""
WITH together AS (
    SELECT {by}, t, 0 AS q, e, CAST(NULL AS BIGINT) AS rid FROM {EVENTS} WHERE {known}
    UNION ALL SELECT {by}, t, 1 AS q, CAST(NULL AS BIGINT) AS e, rid FROM {ASKED}),
matched AS (SELECT rid, t, q, {latest} AS e FROM together)
SELECT matched.rid AS rid, {names} FROM matched LEFT JOIN {EVENTS} AS events ON matched.e = events.e{holds}
WHERE matched.q = 1 ORDER BY rid"""


class EngineHistory:
    """Feature tables that an engine joins; a :class:`~proml_kedro.features.training.join.FeatureHistory`.

    Args:
        features: The problem's features.
        tables: Folder of the feature tables.
        hardware: The machine, with its engine.
    """

    def __init__(self, features: FeaturesSpec, tables: Path, hardware: HardwareSpec) -> None:
        self._features, self._tables, self._hardware = features, tables, hardware

    def key_types(self, view: str) -> dict[str, str]:
        """Return the key columns of a view, each ``int`` or ``str``."""
        with connect(self._hardware) as session:
            schema = session.parquet(table_file(self._tables, view)).schema
        return {key: "int" if schema[key] == "BIGINT" else "str" for key in self._features.views[view].key}

    def join(self, entities: pa.Table | str, features: Sequence[FeatureRef]) -> PointInTimeJoin:
        """Join to each row of a query the features that were known at its moment."""
        if not isinstance(entities, str):
            raise TypeError("an engine joins features to the rows of a query")
        views = {one.view: [other for other in features if other.view == one.view] for one in features}
        return EngineJoin(entities, self._features, views, self._tables, self._hardware)


class EngineJoin(PointInTimeJoin):
    """A query whose rows get their features from an engine, when the result is asked for.

    Args:
        query: The rows: their keys, ``event_timestamp``, and other columns.
        features: The problem's features.
        views: View → those to join.
        tables: Folder of the feature tables.
        hardware: The machine, with its engine.
    """

    def __init__(
        self,
        query: str,
        features: FeaturesSpec,
        views: Mapping[str, list[FeatureRef]],
        tables: Path,
        hardware: HardwareSpec,
    ) -> None:
        super().__init__(query, hardware)
        self._features, self._views, self._tables = features, views, tables

    def to_arrow(self) -> pa.Table:
        """Run the join and return all rows."""
        with self._joined(None) as join:
            return join.to_arrow()

    def write_parquet(
        self,
        path: Path,
        columns: Mapping[str, str] | None = None,
        order_by: str | None = None,
        derive: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None,
    ) -> int:
        """Write the result to a Parquet file, as the join in this process does."""
        with self._joined(path.parent) as join:
            return join.write_parquet(path, columns, order_by, derive)

    @contextmanager
    def _joined(self, folder: Path | None) -> Iterator[PointInTimeJoin]:
        """A query over files that hold the rows and what the engine has found for each, by its number."""
        place = Path(tempfile.mkdtemp(prefix=".joined-", dir=folder))
        try:
            with connect(self._hardware, place) as session:
                session.write_parquet(self.sql, place / _ROWS)
                self._hand_over(session, place)
            with connect_engine(self._hardware) as engine, blaming(engine):
                for number, view in enumerate(self._views):
                    self._find(engine, number, view, place)
            yield PointInTimeJoin(self._together(place), self._hardware)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _hand_over(self, session: Session, place: Path) -> None:
        rows = session.parquet(place / _ROWS, numbered=True)
        (infinite,) = session.row(f"SELECT count(*) FROM {rows} WHERE NOT isfinite({quote(EVENT_TIMESTAMP)})")
        if infinite:
            message = (
                f"is infinite in {infinite:,} examples, which an engine does not join; leave them out with drop_when"
            )
            raise UserError.at("problem.examples.timestamp", message)
        for number, (name, refs) in enumerate(self._views.items()):
            view = self._features.views[name]
            keys = [f"{quote(key)} AS k{column}" for column, key in enumerate(view.key)]
            values = [f"{quote(one.feature)} AS f{column}" for column, one in enumerate(refs)]
            moment = f"epoch_us({quote(EVENT_TIMESTAMP)}) AS t"
            events = session.parquet(table_file(self._tables, name), numbered=True)
            query = f"SELECT {', '.join([*keys, moment, f'{_ROW} AS e', *values])} FROM {events}"
            session.write_parquet(query, place / f"events{number}.parquet")
            query = f"SELECT {', '.join([*keys, moment, f'{_ROW} AS rid'])} FROM {rows}"
            session.write_parquet(query, place / f"asked{number}.parquet")

    def _find(self, engine: SparkSession, number: int, name: str, place: Path) -> None:
        view = self._features.views[name]
        engine.table(EVENTS, place / f"events{number}.parquet")
        engine.table(ASKED, place / f"asked{number}.parquet")
        keys = [f"k{column}" for column in range(len(view.key))]
        query = latest_query(keys, len(self._views[name]), source_of(view).ttl)
        rows = in_order(engine.batches(query), ["rid"], f"rows with features of '{name}'")
        write_parquet(rows, place / f"found{number}.parquet")

    def _together(self, place: Path) -> str:
        with connect(self._hardware) as session:
            joins, selected = "", ["rows.* EXCLUDE (file_row_number)"]
            for number, refs in enumerate(self._views.values()):
                # A row that the engine has lost is lost here too, and missed where rows are counted.
                found = session.parquet(place / f"found{number}.parquet")
                joins += f" JOIN {found} AS found{number} ON rows.{_ROW} = found{number}.rid"
                selected += [f"found{number}.f{column} AS {quote(one.column)}" for column, one in enumerate(refs)]
            return f"SELECT {', '.join(selected)} FROM {session.parquet(place / _ROWS, numbered=True)} AS rows{joins}"
