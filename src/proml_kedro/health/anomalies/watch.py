"""All monitors of a configuration over the tables of its problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from proml_kedro.engine.duckdb import parquet
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session, connect
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.tables.given import file_rows, fits_sql, value_sql
from proml_kedro.health.anomalies.chart import charts_of
from proml_kedro.health.anomalies.detect import Event, Feedback, detect
from proml_kedro.health.anomalies.series import Figures, compute_figures
from proml_kedro.health.anomalies.store import AnswerStore
from proml_kedro.results.anomalies import Anomalies, Anomaly, Chart, Watched
from proml_kedro.spec.anomalies import AnomaliesSpec, MonitorSpec
from proml_kedro.spec.hardware import HardwareSpec

_KEY = "monitoring.anomalies"
_MOMENT = "TIMESTAMP WITH TIME ZONE"


@dataclass(frozen=True)
class Watch:
    """The monitors of a configuration, with the tables that they are of.

    Attributes:
        spec: The monitors.
        tables: The Parquet file of each table of the problem.
        base: What the path of events is relative to.
        until: Until when rows count; only periods that are over by then are looked at.
        feedback: What people have said, by monitor.
        session: What reads the tables.
    """

    spec: AnomaliesSpec
    tables: Mapping[str, Path]
    base: Path
    until: datetime
    feedback: Mapping[str, Feedback]
    session: Session

    def rows(self, name: str) -> Relation:
        """Return the table of a monitor."""
        return _table(name, self.spec.monitors[name], self.tables, self.session)

    def figures(self, name: str) -> Figures:
        """Compute the figures of a monitor.

        Raises:
            UserError: The monitor does not fit its table.
        """
        return compute_figures(self.rows(name), self.spec.monitors[name], self.until, self.key(name))

    def key(self, name: str) -> str:
        """Return where a monitor stands in the configuration."""
        return f"{_KEY}.monitors.{name}"

    @cached_property
    def events(self) -> list[Event]:
        """What happened, the oldest first."""
        return _events(self.spec.events, self.base, self.session)

    def feedback_on(self, name: str) -> Feedback:
        """Return what people have said of a monitor."""
        return self.feedback.get(name, Feedback())

    def run(self) -> Anomalies:
        """Look for anomalies in every figure.

        Raises:
            UserError: A monitor does not fit its table.
        """
        return self.look()[0]

    def look(self) -> tuple[Anomalies, tuple[Chart, ...]]:
        """Look for anomalies in every figure, and draw those that have any.

        Raises:
            UserError: A monitor does not fit its table.
        """
        anomalies: list[Anomaly] = []
        charts: list[Chart] = []
        watched: list[Watched] = []
        notices: list[str] = []
        mistakes: list[Mistake] = []
        for name, monitor in self.spec.monitors.items():
            try:
                figures = self.figures(name)
            except UserError as error:
                mistakes += error.mistakes
                continue
            found, seen, band = detect(name, monitor, figures, self.events, self.feedback_on(name))
            anomalies += found
            charts += charts_of(name, figures, band, found)
            watched.append(seen)
            notices += [f"{name}: {notice}" for notice in figures.notices]
        if mistakes:
            raise UserError(*mistakes)
        newest = sorted(anomalies, key=lambda one: (one.begin, one.strength), reverse=True)
        return Anomalies(tuple(newest), tuple(watched), tuple(notices)), tuple(charts)


@contextmanager
def watching(
    spec: AnomaliesSpec,
    tables: Mapping[str, Path],
    base: Path,
    hardware: HardwareSpec,
    until: datetime,
    feedback: Mapping[str, Feedback] | None = None,
) -> Iterator[Watch]:
    """Open the monitors of a configuration.

    Args:
        spec: The monitors.
        tables: The Parquet file of each table of the problem.
        base: What the path of events is relative to.
        hardware: Threads and memory to read with.
        until: Until when rows count.
        feedback: What people have said, by monitor.

    Raises:
        UserError: There are no monitors.
    """
    if not spec.monitors:
        raise UserError.at(_KEY, "declares no monitors; write monitors: {NAME: {table: …, moment: …, agg: count}}")
    with connect(hardware) as session:
        yield Watch(spec, tables, base, until, feedback or {}, session)


def feedback_of(store: AnswerStore) -> dict[str, Feedback]:
    """Return what people have said, by monitor."""
    trends: dict[str, dict[tuple[str, str], list[datetime]]] = {}
    for one in store.answered():
        if one.answer == "new-trend":
            trends.setdefault(one.monitor, {}).setdefault((one.dimension, one.value), []).append(one.begin)
    widths = store.widths()
    return {name: Feedback(widths.get(name, 1.0), trends.get(name, {})) for name in {*widths, *trends}}


def _table(name: str, monitor: MonitorSpec, tables: Mapping[str, Path], session: Session) -> Relation:
    if monitor.table not in tables:
        raise UserError.at(f"{_KEY}.monitors.{name}.table", unknown("table", monitor.table, tables))
    return Relation(parquet(tables[monitor.table]), session)


def _events(file: str | None, base: Path, session: Session) -> list[Event]:
    """Read what happened."""
    if file is None:
        return []
    key = f"{_KEY}.events"
    with file_rows(base / file, session, key) as rows:
        for name in ("moment", "name"):
            if rows.type_of(name) is None:
                raise UserError.at(key, f"'{file}' has no column '{name}'")
        given = rows.schema["moment"]
        (bad,) = session.row(f"SELECT count(*) FILTER (NOT {fits_sql('moment', given, _MOMENT)}) FROM {rows}")
        if bad:
            raise UserError.at(key, f"'{file}': moment: {bad:,} cells are no moments")
        found = session.rows(
            f"SELECT {value_sql('moment', given, _MOMENT)}, CAST(name AS VARCHAR) FROM {rows} "
            "WHERE moment IS NOT NULL AND name IS NOT NULL ORDER BY 1"
        )
    return [Event(moment.astimezone(UTC), name) for moment, name in found]
