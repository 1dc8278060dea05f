"""``anomalies`` of ``conf/monitoring/*.yaml``: figures of tables over time, and what is unusual of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from proml_kedro.extensions import Registry, anomaly_detectors
from proml_kedro.spec.alerts import AlertsSpec
from proml_kedro.spec.base import Moment, Name, PositiveDuration, Spec, Sql


class DetectorSpec(Spec):
    """A detector of anomalies, with settings of its own.

    Attributes:
        kind: Which detector: a name in ``proml_kedro.anomaly_detectors``.
    """

    registries: ClassVar[Mapping[str, Registry[Any]]] = {"kind": anomaly_detectors}

    kind: str = "seasonal"

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the settings of the kind that a piece of YAML names."""
        kind = value.get("kind", "seasonal") if isinstance(value, Mapping) else None
        settings: type[Spec] = anomaly_detectors.get(kind).Settings if kind in anomaly_detectors.names() else cls
        return settings


if TYPE_CHECKING:
    DetectorField = DetectorSpec
else:
    DetectorField = anomaly_detectors.field(DetectorSpec, lambda detector: detector.Settings, "kind", "seasonal")


class SuppressSpec(Spec):
    """A time in which nothing is unusual, and from which nothing is learned.

    Attributes:
        begin: First day or moment.
        end: Day or moment after the last one.
        reason: Why, for people.
    """

    begin: Moment
    end: Moment
    reason: str = ""


class MonitorSpec(Spec):
    """A figure of a table, by period of time and by values of columns.

    Attributes:
        table: A table of the problem.
        moment: Its column that says when.
        every: Length of a period; weeks begin on Monday, days at midnight, UTC.
        agg: What is computed: `rate` (share of rows for which a condition holds), `mean`, `sum`, or `count` of rows. A
            period without rows has a sum and a count of 0, and no rate and no mean.
        expression: SQL over columns of the table: the condition of a rate, or the number of a mean or sum. Rows for
            which it is null, or no finite number, do not count.
        where: SQL condition for the rows that count.
        dimensions: Columns by whose values the figure is looked at, too; the 50 most frequent ones of each.
        detector: What is unusual.
        min_rows: Periods of fewer rows have no rate and no mean.
        min_duration: Anomalies of fewer periods are left out.
        merge_gap: Unusual periods with up to so many others between them are one anomaly.
        min_share: Anomalies of a value that has a smaller share of the table's rows in that time are left out.
        weekends: Whether an anomaly may lie on Saturdays and Sundays alone.
        suppress: Times in which nothing is unusual.
        holidays: Days that are treated so, too.
    """

    table: str
    moment: str
    every: PositiveDuration = timedelta(days=1)
    agg: Literal["rate", "mean", "sum", "count"]
    expression: Sql | None = None
    where: Sql | None = None
    dimensions: list[str] = []
    detector: DetectorField = Field(default_factory=lambda: DetectorSpec.for_value({})(), validate_default=True)
    min_rows: Annotated[int, Field(ge=1)] = 30
    min_duration: Annotated[int, Field(ge=1)] = 1
    merge_gap: Annotated[int, Field(ge=0)] = 1
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    weekends: bool = True
    suppress: list[SuppressSpec] = []
    holidays: list[date] = []

    @model_validator(mode="after")
    def _has_whole_seasons(self) -> Self:
        season = getattr(self.detector, "season", None)
        if isinstance(season, timedelta) and season % self.every:
            words = f"season is {season}, and periods of {self.every} do not fill it"
            raise ValueError(f"detector: {words}; write a season of whole periods, or kind: level")
        return self

    @model_validator(mode="after")
    def _has_its_expression(self) -> Self:
        if (self.expression is None) != (self.agg == "count"):
            words = "counts rows; write where" if self.agg == "count" else f"of {self.agg} is missing"
            raise ValueError(f"expression {words}")
        return self


class AnomaliesSpec(Spec):
    """Figures over time, by a name of your own.

    Attributes:
        monitors: The figures.
        events: A table with columns `moment` and `name`, such as deployments, that are shown beside anomalies.
        alerts: Who is told of anomalies by `kedro anomalies detect --alert`.
    """

    monitors: dict[Name, MonitorSpec] = {}
    events: str | None = None
    alerts: AlertsSpec = AlertsSpec()
