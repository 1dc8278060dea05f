"""Feature views that an engine computes, written as DuckDB writes them."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.engine.portable.values import NotPortableError
from proml_kedro.engine.spark.ordered import in_order, write_parquet
from proml_kedro.engine.spark.session import SparkSession, blaming, connect_engine
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.views.aggregates.base import TICK
from proml_kedro.features.views.check import source_of
from proml_kedro.features.views.keys import keys_sql
from proml_kedro.features.views.portable.carried import Carried, carried, refusal
from proml_kedro.features.views.portable.events import hand_over
from proml_kedro.features.views.portable.exact_sums import Limbs, Sizes
from proml_kedro.features.views.portable.query import (
    SOURCE,
    columns_query,
    keys_of,
    sizes_query,
    snapshot_query,
)
from proml_kedro.features.views.windows import windowed
from proml_kedro.spec.features import ColumnFeature, FeatureViewSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)


def compute_on_engine(
    views: Mapping[str, FeatureViewSpec], tables: Tables, hardware: HardwareSpec, folder: Path
) -> None:
    """Compute views into ``<view>.parquet``.

    What a view reads of its table is handed over as Parquet, below the folder, which the engine's workers have to see.

    Args:
        views: The views; they fit their tables.
        tables: The problem's tables.
        hardware: The machine, with its engine.
        folder: The folder.

    Raises:
        UserError: What engines would compute differently, for all views at once, before any is computed.
    """
    handed = Path(tempfile.mkdtemp(prefix=".handed-", dir=folder))
    try:
        prepared = dict(_prepare(views, tables, handed))
        with connect_engine(hardware) as session:
            for name, one in prepared.items():
                with blaming(session):
                    rows = one.write(session, folder / f"{name}.parquet")
                logger.info("feature view %s: %s rows, by %s", name, f"{rows:,}", session.name)
    finally:
        shutil.rmtree(handed, ignore_errors=True)


@dataclass(frozen=True)
class _Prepared:
    """A view whose rows are handed over, and whose expressions engines compute alike.

    Attributes:
        name: Its name.
        view: It.
        file: Its rows.
        values: What a row gives to each feature.
        features: Its aggregates; none when it is not windowed.
    """

    name: str
    view: FeatureViewSpec
    file: Path
    values: Mapping[str, str]
    features: Mapping[str, Carried]

    def write(self, session: SparkSession, file: Path) -> int:
        """Compute the view and return its number of rows."""
        session.table(SOURCE, self.file)
        if not self.view.is_windowed:
            query = columns_query(self.view, self.values)
        else:
            query = snapshot_query(self.view, self._sized(session), self.values)
        rows = in_order(session.batches(query), [*keys_of(self.view), TICK], f"rows of view '{self.name}'")
        return write_parquet((self._renamed(part) for part in rows), file)

    def _sized(self, session: SparkSession) -> dict[str, Carried]:
        """The aggregates, sums and means with the sizes of their numbers."""
        query = sizes_query(self.features, self.values)
        if query is None:
            return dict(self.features)
        (row,) = session.rows(query)
        return {name: self._cut(name, one, row) if one.adds_up else one for name, one in self.features.items()}

    def _cut(self, name: str, one: Carried, row: Mapping[str, float]) -> Carried:
        part = f"s{one.slot.number}"
        sizes = Sizes(
            int(row[f"{part}_count"]),
            float(row[f"{part}_largest"] or 0),
            float(row[f"{part}_smallest"] or 0),
            int(row[f"{part}_fractions"]),
            int(row[f"{part}_infinite"]),
        )
        try:
            return replace(one, limbs=Limbs.of(sizes))
        except NotPortableError as error:
            raise UserError.at(f"features.{self.name}.features.{name}", str(error)) from error

    def _renamed(self, part: pa.Table) -> pa.Table:
        """The rows with the names that people use, and moments as such."""
        import pyarrow as pa

        moment = part[TICK].cast(pa.timestamp("us", "UTC"))
        names = dict(zip(self.view.key, keys_of(self.view), strict=True))
        columns = {name: part[key] for name, key in names.items()}
        columns |= {EVENT_TIMESTAMP: moment, CREATED_TIMESTAMP: moment}
        columns |= {name: part[f"f{place}"] for place, name in enumerate(self.view.columns())}
        return pa.table(columns)


def _prepare(views: Mapping[str, FeatureViewSpec], tables: Tables, handed: Path) -> Iterator[tuple[str, _Prepared]]:
    mistakes: list[Mistake] = []
    for name, view in views.items():
        table, file = source_of(view).table, handed / f"{name}.parquet"
        keys = keys_sql(tables, table, view.key)
        events = hand_over(tables.session, view, tables.relation(table, numbered=True), keys, file)
        try:
            features = carried(view, ", ".join(keys_of(view))) if view.is_windowed else {}
        except NotPortableError:
            mistakes += _not_carried(name, view)
            continue
        values = {}
        for field, feature in view.features.items():
            try:
                values[field] = (
                    events.value(field, feature)
                    if isinstance(feature, ColumnFeature)
                    else features[field].filtered(events)
                )
            except NotPortableError as error:
                mistakes.append(_refused(name, field, str(error)))
        yield name, _Prepared(name, view, file, values, features)
    if mistakes:
        raise UserError(*mistakes)


def _refused(view: str, field: str, why: str) -> Mistake:
    message = f"{why}; an engine does not compute it: choose hardware=cpu, or derive a column of the table from it"
    return Mistake(f"features.{view}.features.{field}", message)


def _not_carried(name: str, view: FeatureViewSpec) -> Iterator[Mistake]:
    for field, feature in windowed(view).items():
        if why := refusal(feature):
            yield Mistake(f"features.{name}.features.{field}.agg", why)
