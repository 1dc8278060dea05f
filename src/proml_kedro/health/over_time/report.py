"""How good a model is from period to period, from its log of predictions and from labels that come later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.bundle import Manifest
from proml_kedro.bundle.integrity import verify
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session, connect
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.evaluation.slices import of_values
from proml_kedro.features.tables.given import file_rows
from proml_kedro.health.over_time.estimate import LEAST, Calibration, estimate
from proml_kedro.health.over_time.inputs import drift_of, latencies, missing_shares, reference_shares
from proml_kedro.health.over_time.join import Join, Judged
from proml_kedro.health.over_time.labels import Labels, Reader
from proml_kedro.health.over_time.log import Log, column_sql, read_log
from proml_kedro.health.over_time.measure import Measure, figure_of, figures_of
from proml_kedro.health.reference import Reference
from proml_kedro.results.drift import DriftResult
from proml_kedro.results.health import HealthReport, PeriodHealth, SliceHealth
from proml_kedro.results.names import BUNDLE_METRICS
from proml_kedro.spec.evaluation import ComparisonSpec, EvaluationSpec, RankingSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model_health import HealthSpec
from proml_kedro.spec.monitoring import MonitoringSpec

_WEEK = timedelta(days=7)
_MANY_DAYS = 10
"""Days from which on a period has enough of them to be clusters."""
_ESTIMATED = ("auc", "logloss", "brier")


@dataclass(frozen=True)
class Asked:
    """What is to be reported.

    Attributes:
        bundle: Folder of the model's bundle.
        log: File or folder of the log of predictions.
        labels: Table of labels; None without.
        at: Moment of the report: what became known later does not count.
        health: How; what the bundle's configuration says, where None.
    """

    bundle: Path
    log: Path
    labels: Path | None
    at: datetime
    health: HealthSpec | None = None


def health_of_bundle(bundle: Path) -> HealthSpec:
    """Return how a bundle's configuration wants its predictions judged."""
    return _monitoring(Manifest.read(bundle)).health


def report_health(asked: Asked) -> HealthReport:
    """Judge a model's logged predictions, period by period.

    Raises:
        UserError: The bundle is damaged, or the log or the labels cannot be read or do not fit it.
    """
    verify(asked.bundle)
    manifest, reference = Manifest.read(asked.bundle), Reference.read(asked.bundle)
    try:
        with ExitStack() as stack:
            session = stack.enter_context(connect(HardwareSpec(threads=1)))
            log = stack.enter_context(file_rows(asked.log, session, ""))
            told = stack.enter_context(file_rows(asked.labels, session, "")) if asked.labels else None
            return _Reporter(asked, manifest, reference, session).run(log, told)
    except EngineError as error:
        raise UserError(Mistake("", f"cannot be read: {str(error).splitlines()[0]}", str(asked.log))) from error


def _monitoring(manifest: Manifest) -> MonitoringSpec:
    return MonitoringSpec.model_validate(manifest.config.get("monitoring", {}))


class _Reporter:
    """Makes one report."""

    def __init__(self, asked: Asked, manifest: Manifest, reference: Reference, session: Session) -> None:
        monitoring = _monitoring(manifest)
        self._asked, self._manifest, self._reference, self._session = asked, manifest, reference, session
        self._health = asked.health or monitoring.health
        self._every = self._health.every or monitoring.current.last or _WEEK
        self._log_key, self._labels_key = f"option --log={asked.log}", f"option --labels={asked.labels}"
        self._evaluation = EvaluationSpec.model_validate(manifest.config.get("evaluation", {}))
        self._notices: list[str] = []

    def run(self, rows: Relation, told: Relation | None) -> HealthReport:
        log = read_log(rows, self._manifest.tag, self._asked.at, self._every, self._log_key)
        log = replace(log, rows=self._kept(log.rows))
        cluster_by, group_by = self._cluster_by(log.rows), self._group_by(log.rows)
        measure = self._measure(group_by)
        join = Join(self._asked.at, self._health.matures_after, cluster_by, group_by, tuple(self._slices(log.rows)))
        judged = join.run(log, self._labels(told), self._labels_key)
        self._say(log, judged)
        drifts = self._drifts(log)
        before = json.loads((self._asked.bundle / BUNDLE_METRICS).read_bytes())
        expected = {name: before["candidate"][name] for name in measure.names if _is_number(before, name)}
        return HealthReport(
            model=self._manifest.tag,
            at=self._asked.at,
            every_seconds=self._every.total_seconds(),
            task=self._manifest.problem.label.task,
            metrics=measure.names,
            expected=expected,
            cluster_by=cluster_by,
            confidence=self._evaluation.compare.confidence,
            periods=tuple(self._periods(log, judged, measure, drifts, (expected, int(before["rows"])))),
            slices=tuple(self._slice_figures(judged, measure)),
            missing=missing_shares(log.scored, log.periods.count),
            missing_before=reference_shares(self._reference),
            notices=tuple(self._notices),
        )

    def _kept(self, rows: Relation) -> Relation:
        """Keep rows in memory or on disk, so that the log is read once."""
        self._session.run(f"CREATE TABLE logged AS SELECT * FROM {rows}")
        return Relation("logged", self._session)

    def _labels(self, told: Relation | None) -> Labels | None:
        if told is None:
            return None
        rows = self._manifest.rows
        task = self._manifest.problem.label.task
        reader = Reader(self._labels_key, task, self._manifest.classes, rows.entities, rows.timestamp)
        return reader.read(told)

    def _measure(self, group_by: str | None) -> Measure:
        label = self._manifest.problem.label
        ranking = self._evaluation.ranking_for(self._manifest.problem)
        if ranking and ranking.within != group_by:
            self._notices.append(f"the log does not have '{ranking.within}': the order is judged within each request")
        names = self._evaluation.metrics_for(label.task, label.ordered)
        return Measure(tuple(names), ranking, self._evaluation.compare)

    def _ranking(self) -> RankingSpec | None:
        return self._evaluation.ranking_for(self._manifest.problem)

    def _group_by(self, rows: Relation) -> str | None:
        ranking = self._ranking()
        return ranking.within if ranking and column_sql(rows, ranking.within) else None

    def _cluster_by(self, rows: Relation) -> str:
        named = self._health.cluster_by
        if named is None:
            is_long = self._every.total_seconds() >= _MANY_DAYS * 86_400
            if not is_long:
                self._notices.append(
                    "intervals take hours for independent; what the rows of a day share makes them wider"
                )
            return "day" if is_long else "hour"
        known = ["row", "request", "hour", "day"]
        if named not in known and column_sql(rows, named) is None:
            message = unknown("cluster", named, [*known, *self._manifest.rows.entities])
            raise UserError(Mistake("health.cluster_by", message))
        return named

    def _slices(self, rows: Relation) -> Sequence[str]:
        for name in self._health.slices:
            if column_sql(rows, name) is None:
                known = [one.partition(".")[2] for one in rows.schema if one.startswith(("keys.", "features."))]
                raise UserError(Mistake("health.slices", unknown("key or feature of the log", name, known)))
        return self._health.slices

    def _say(self, log: Log, judged: Judged) -> None:
        if log.copies:
            self._notices.append(f"{log.copies:,} rows stand in the log more than once and are counted once")
        if log.others:
            self._notices.append(f"{log.others:,} rows are of other models")
        if log.later:
            self._notices.append(f"{log.later:,} rows are later than {self._asked.at.isoformat()} and do not count")
        self._notices.extend(judged.notices)

    def _drifts(self, log: Log) -> list[DriftResult]:
        return [
            drift_of(log.scored.select("*", f"period = {number}"), self._manifest, self._reference)
            for number in range(log.periods.count)
        ]

    def _periods(
        self,
        log: Log,
        judged: Judged,
        measure: Measure,
        drifts: Sequence[DriftResult],
        before: tuple[Mapping[str, float], int],
    ) -> list[PeriodHealth]:
        counts, took = self._counts(log), latencies(log.rows)
        parts = [_Part.of(judged, judged.period == number) for number in range(log.periods.count)]
        reasons = [self._not_judged(one) for one in parts]
        measured = {number: measure.run(*one.labelled) for number, one in enumerate(parts) if not reasons[number]}
        rows = [(parts[number].labels, found) for number, found in measured.items()]
        figures = dict(zip(measured, figures_of(rows, *before, measure.comparison.confidence), strict=True))
        found = []
        for number, part in enumerate(parts):
            requests, failed = counts.get(number, (0, 0))
            estimated, reason = ({}, "") if number in figures else self._estimate(part, parts[:number], drifts[number])
            found.append(
                PeriodHealth(
                    begin=log.periods.begin(number),
                    requests=requests,
                    failed=failed,
                    mature=int(part.mature.sum()),
                    labelled=part.labels,
                    label_mean=None if self._manifest.classes else part.label_mean,
                    score_mean=part.score_mean,
                    figures=figures.get(number, {}),
                    not_judged=reasons[number],
                    estimated=estimated,
                    not_estimated=reason,
                    inputs=drifts[number].verdict,
                    inputs_words=drifts[number].words,
                    latency=took.get(number, {}),
                )
            )
        return found

    def _counts(self, log: Log) -> dict[int, tuple[int, int]]:
        failed = "count(*) FILTER (status <> 200 OR score IS NULL)"
        rows = self._session.rows(f"SELECT period, count(*), {failed} FROM {log.rows} GROUP BY period")
        return {int(period): (count, bad) for period, count, bad in rows}

    def _not_judged(self, part: _Part) -> str:
        if not len(part.score):
            return "no predictions"
        if not part.labels:
            return "no labels" if part.mature.any() else "too young"
        if part.labels < self._health.min_labels:
            return f"{part.labels:,} labels, and it takes {self._health.min_labels:,}"
        if (share := part.labels / part.mature.sum()) < self._health.min_coverage:
            return f"labels of {share:.0%} of the predictions, and it takes {self._health.min_coverage:.0%}"
        return ""

    def _estimate(self, part: _Part, earlier: Sequence[_Part], drift: DriftResult) -> tuple[Mapping[str, float], str]:
        """Estimate metrics of a period without labels, or say why not."""
        if self._manifest.problem.label.task != "binary":
            return {}, "only for truth values"
        if not len(part.score):
            return {}, "no predictions"
        if drift.verdict in ("drift", "insufficient"):
            return {}, f"withheld: {drift.words}"
        past = [one for one in earlier if not self._not_judged(one)]
        label, score = (
            np.concatenate([getattr(one, name) for one in past]) if past else np.zeros(0) for name in ("label", "score")
        )
        known = np.isfinite(label)
        calibration = Calibration.of(label[known], score[known])
        if not calibration.rows:
            note = f"estimates take scores as they are: fewer than {LEAST:,} labels of earlier periods calibrate them"
            self._notices.extend([note] if note not in self._notices else [])
        return {name: one for name, one in estimate(part.score, calibration).items() if name in _ESTIMATED}, ""

    def _slice_figures(self, judged: Judged, measure: Measure) -> list[SliceHealth]:
        """Measure the first metric by values of columns."""
        known = np.isfinite(judged.label)
        first = Measure(measure.metrics[:1], None, ComparisonSpec(**dict(measure.comparison)))
        found = []
        for column, values in judged.values.items():
            for one in of_values(column, values.filter(known)) if known.any() else ():
                rows = np.flatnonzero(known)[one.rows]
                part = judged.label[rows], judged.score[rows], judged.cluster[rows], judged.group[rows]
                figure = figure_of(first.run(*part)[measure.metrics[0]])
                found.append(SliceHealth(column, one.value, len(rows), figure))
        return found


@dataclass(frozen=True)
class _Part:
    """The scored rows of a period."""

    label: Any
    score: Any
    mature: Any
    cluster: Any
    group: Any

    @classmethod
    def of(cls, judged: Judged, rows: Any) -> _Part:
        return cls(
            judged.label[rows], judged.score[rows], judged.mature[rows], judged.cluster[rows], judged.group[rows]
        )

    @property
    def labelled(self) -> tuple[Any, Any, Any, Any]:
        known = np.isfinite(self.label)
        return self.label[known], self.score[known], self.cluster[known], self.group[known]

    @property
    def labels(self) -> int:
        return int(np.isfinite(self.label).sum())

    @property
    def label_mean(self) -> float | None:
        return float(np.nanmean(self.label)) if self.labels else None

    @property
    def score_mean(self) -> float | None:
        return float(self.score.mean()) if len(self.score) and self.score.ndim == 1 else None


def _is_number(before: Mapping[str, Any], name: str) -> bool:
    return isinstance(before["candidate"].get(name), int | float)
