"""An anomaly of a monitor, or any time of it, and why it was so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from proml_kedro.errors import Mistake, UserError
from proml_kedro.health.anomalies.series import Figures, keep_rows
from proml_kedro.health.anomalies.watch import Watch
from proml_kedro.health.diagnosis.diagnose import Sides, diagnose, value_parts
from proml_kedro.health.diagnosis.read import Asked, other_columns, read_sides
from proml_kedro.health.diagnosis.related import related_of
from proml_kedro.health.diagnosis.words import in_words
from proml_kedro.results.anomalies import ALL, Anomaly
from proml_kedro.results.diagnosis import Diagnosis, Happened
from proml_kedro.spec.anomalies import MonitorSpec

MOST_PARTS = 20
"""Single values that are told."""

_WINDOW = 28
"""Periods before that one is compared with where there are no seasons."""


@dataclass(frozen=True)
class Question:
    """What is to be explained.

    Attributes:
        monitor: Name of the figure.
        dimension: Column that the rows are of one value of; ``all rows`` for none.
        value: That value.
        begin: When it begins.
        end: When it is over.
        anomaly: Id of the anomaly; empty for none.
    """

    monitor: str
    dimension: str
    value: str
    begin: datetime
    end: datetime
    anomaly: str = ""

    @classmethod
    def of(cls, one: Anomaly) -> Question:
        """Ask for an anomaly."""
        return cls(one.monitor, one.dimension, one.value, one.begin, one.end, one.id)


def explain(watch: Watch, question: Question, anomalies: Sequence[Anomaly]) -> Diagnosis:
    """Find out why a figure was as it was.

    Args:
        watch: The monitors.
        question: What is to be explained.
        anomalies: All that were found: none is taken for usual, and those of other figures are shown beside.

    Raises:
        UserError: There are no rows in that time, or none before it to compare with.
    """
    name = question.monitor
    spec, rows, figures = watch.spec.monitors[name], watch.rows(name), watch.figures(name)
    row = list(figures.names).index((question.dimension, question.value))
    unusual = [one for one in anomalies if (one.monitor, one.dimension, one.value) == (name, *figures.names[row])]
    now, before = _periods(spec, figures, row, question, unusual)
    only = None if question.dimension == ALL else (question.dimension, question.value)
    # What is told is of whole periods that are over, whatever was asked.
    question = replace(question, begin=figures.periods.begin(now[0]), end=figures.periods.begin(now[-1] + 1))
    first = figures.periods.first
    asked = Asked([first + place for place in now], [first + place for place in before], only)
    others = other_columns(rows, spec, [])
    keep_rows(rows, spec, [*spec.dimensions, *others], "explained", watch.key(name))
    dimensions = [one for one in spec.dimensions if one != question.dimension]
    sides, notices = read_sides(watch.session, dimensions, asked)
    _check(sides, spec.agg, question)
    elsewhere = read_sides(watch.session, others, asked)[0] if others else None
    found = diagnose(spec.agg, sides, elsewhere)
    near = [one for one in watch.events if question.begin - spec.every <= one.moment < question.end]
    return Diagnosis(
        anomaly=question.anomaly,
        monitor=name,
        dimension=question.dimension,
        value=question.value,
        begin=question.begin,
        end=question.end,
        periods_before=len(before),
        rows=int(sides.now.rows.sum()),
        rows_before=int(sides.before.rows.sum()),
        current=found.current,
        before=found.before,
        verdict=found.verdict,
        words=in_words(found, dimensions),
        parts=found.parts,
        values=tuple(value_parts(spec.agg, sides)[:MOST_PARTS]),
        related=tuple(
            related_of(watch, (name, *figures.names[row]), figures, (question.begin, question.end), anomalies)
        ),
        events=tuple(Happened(one.moment, one.name) for one in near),
        notices=tuple(notices),
    )


def _check(sides: Sides, agg: str, question: Question) -> None:
    """Refuse what has nothing to be compared; a sum or count of no rows now is 0."""
    empty = "before it to compare with" if not len(sides.before.rows) else ""
    if agg in ("rate", "mean") and not len(sides.now.rows):
        empty = f"from {question.begin.isoformat()} to {question.end.isoformat()}"
    if empty:
        raise UserError(Mistake("", f"has no rows {empty}", f"monitor {question.monitor}"))


def _periods(
    spec: MonitorSpec, figures: Figures, row: int, question: Question, unusual: Sequence[Anomaly]
) -> tuple[list[int], list[int]]:
    """Return the positions of the current periods, and of earlier ones: usual, and at the same times of seasons."""
    begins = [figures.periods.begin(place) for place in range(figures.periods.count)]
    now = [place for place, begin in enumerate(begins) if question.begin < begin + spec.every and begin < question.end]
    known = np.isfinite(figures.series.values[row])
    usual = [
        place
        for place, begin in enumerate(begins[: now[0]] if now else [])
        if known[place] and not any(one.begin <= begin < one.end for one in unusual)
    ]
    if not now or not usual:
        words = "no period that is over" if not now else "no usual period before it to compare with"
        raise UserError(Mistake("", f"has {words}", f"monitor {question.monitor}"))
    season = getattr(spec.detector, "season", None)
    if season is None:
        return now, usual[-_WINDOW:]
    return now, _alike(now, usual, figures.series.periods(season)) or usual[-_WINDOW:]


def _alike(now: Sequence[int], usual: Sequence[int], season: int) -> list[int]:
    """Choose periods at the same times of up to eight seasons, each as often as now; none where one has none."""
    times = [place % season for place in now]
    of = {time: [place for place in usual if place % season == time] for time in set(times)}
    fold = min(len(places) // times.count(time) for time, places in of.items())
    fold = min(fold, 8)
    return sorted(place for time, places in of.items() for place in places[-fold * times.count(time) :] if fold)
