"""Anomalies over time: figures are those of counting by hand, and known anomalies are found, with few that are none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from anomaly_data import broken, clean, f1, found_in, series_of, settings
from proml_kedro.errors import UserError
from proml_kedro.health.anomalies.detect import sides
from proml_kedro.health.anomalies.detector import detector_of
from proml_kedro.health.anomalies.watch import watching
from proml_kedro.results.anomalies import ALL, Anomalies
from proml_kedro.spec.anomalies import AnomaliesSpec, DetectorSpec
from proml_kedro.spec.hardware import HardwareSpec

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 200


def test_known_anomalies_are_found_and_few_that_are_none():
    """The best of what people use for that is some way behind."""
    values, truth = broken(np.random.default_rng(5), 80, 6.0)
    reached = {one.kind: f1(found_in(values, one), truth) for one in settings(("seasonal", "holt_winters", "level"))}
    precision, recall, harmonic = reached["seasonal"]
    assert precision > 0.88
    assert recall > 0.78
    assert harmonic > 0.05 + max(reached[kind][2] for kind in ("holt_winters", "level"))
    (mean_variance,) = settings(("mean_variance",))
    assert harmonic > 0.05 + f1(found_in(values, mean_variance), truth)[2]
    alarms = found_in(clean(np.random.default_rng(6), 80), next(settings(("seasonal",))))
    assert sum(map(len, alarms)) / 80 < 0.35, "false alarms in a year of a series"


def test_a_new_level_is_told_and_then_learned():
    values = clean(np.random.default_rng(2), 1)
    values[:, 200:] += 8
    found = found_in(values, next(settings(("seasonal",))))[0]
    assert any(begin == 200 for begin, _ in found)
    assert all(end < 200 + 2 * 28 for _, end in found)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_nothing_is_unusual_before_the_pattern_is_known(noise, closed):
    """Ordinary weekends of the first weeks were, and whoever is closed on Sundays never had a pattern at all."""
    weeks = np.tile([60.0] * 5 + [28.0] * 2, 26)
    values = weeks + noise * np.random.default_rng(0).normal(size=(20, len(weeks)))
    if closed:
        values[:, 6::7] = np.nan
    (seasonal,) = settings(("seasonal",))
    alarms = found_in(values, seasonal)
    assert not [begin for one in alarms for begin, _ in one if begin < 28]
    assert sum(map(len, alarms)) / 20 < 0.35, "in half a year"
    values[:, 100] -= 20
    values[:, 103] += 20
    after = found_in(values, seasonal)
    assert all({100, 103} <= {day for begin, end in one for day in range(begin, end + 1)} for one in after)


@pytest.mark.slow
def test_holt_and_winters_is_that_of_statsmodels():
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    values = clean(np.random.default_rng(1), 3, 120)
    spec = DetectorSpec.for_value({"kind": "holt_winters"}).model_validate(
        {"kind": "holt_winters", "level": 0.3, "trend": 0.05, "pattern": 0.2}
    )
    ours = detector_of(spec).forecast(values, 7)
    for row, of_row in zip(values, ours, strict=True):
        first, second = row[:7], row[7:14]
        trend = (second.mean() - first.mean()) / 7
        slope = trend * (np.arange(7) - 3)
        pattern = (first - first.mean() + second - second.mean()) / 2 - slope
        theirs = ExponentialSmoothing(
            row[14:], trend="add", seasonal="add", seasonal_periods=7, initialization_method="known",
            initial_level=second.mean() + 3 * trend, initial_trend=trend, initial_seasonal=pattern,
        )  # fmt: skip
        # Their smoothing of the trend is α β*, of the season γ (1 - α) where ours is the share of the season's error.
        fitted = theirs.fit(smoothing_level=0.3, smoothing_trend=0.05, smoothing_seasonal=0.2, optimized=False)
        assert of_row[14:] == pytest.approx(fitted.fittedvalues, rel=1e-9)


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Half a year of visits: on Sundays fewer, in two towns; on day 150 and 151 twice as many of Bern are late."""
    generator = np.random.default_rng(4)
    day = np.repeat(np.arange(DAYS), [generator.poisson(40 if one % 7 == 6 else 120) for one in range(DAYS)])
    town = generator.choice(["Bern", "Oslo"], len(day), p=[0.7, 0.3])
    chance = np.where((town == "Bern") & np.isin(day, [150, 151]), 0.6, 0.2)
    late = pa.array(generator.random(len(day)) < chance, mask=generator.random(len(day)) < 0.1)
    seconds = 86_400 * day + generator.uniform(0, 86_400, len(day))
    at = [MONDAY + timedelta(seconds=one) for one in seconds]
    spent = generator.exponential(5, len(day))
    return pa.table({"at": pa.array(at, pa.timestamp("us", "UTC")), "town": town, "late": late, "spent": spent})


def look(folder: Path, visits: pa.Table, until: datetime = NOW, events: str | None = None, **monitor: Any) -> Anomalies:
    pq.write_table(visits, folder / "visits.parquet")
    spec = {"table": "visits", "moment": "at", "agg": "rate", "expression": "late", **monitor}
    spec = {name: value for name, value in spec.items() if value is not None}
    checked = AnomaliesSpec.model_validate({"monitors": {"lateness": spec}, "events": events})
    tables = {"visits": folder / "visits.parquet"}
    with watching(checked, tables, folder, HardwareSpec(threads=1), until) as opened:
        return opened.run()


def test_an_anomaly_is_dated_and_its_figures_are_those_of_counting(visits, tmp_path):
    (tmp_path / "events.csv").write_text("moment,name\n2024-05-29T22:00:00,release 7\n2024-02-01,release 1\n")
    found = look(tmp_path, visits, dimensions=["town"], events="events.csv")
    assert {(one.dimension, one.value) for one in found.anomalies} == {(ALL, ""), ("town", "Bern")}
    bern = next(one for one in found.anomalies if one.value == "Bern")
    assert (bern.begin, bern.end, bern.periods) == (MONDAY + 150 * DAY, MONDAY + 152 * DAY, 2)
    assert bern.events == ("release 7",), "of the day before"
    known: Counter[tuple[int, bool]] = Counter()
    everybody = ours = 0
    for row in visits.to_pylist():
        day = (row["at"] - MONDAY) // DAY
        if day in (150, 151) and row["late"] is not None:
            everybody += 1
            ours += row["town"] == "Bern"
            if row["town"] == "Bern":
                known[day, row["late"]] += 1
    rates = [known[day, True] / (known[day, True] + known[day, False]) for day in (150, 151)]
    assert bern.current == pytest.approx(np.mean(rates), abs=1e-12)
    assert bern.expected == pytest.approx(0.2, abs=0.03)
    assert bern.share == pytest.approx(ours / everybody)
    assert bern.change == pytest.approx(bern.current / bern.expected - 1)
    assert (found.watched[0].series, found.watched[0].periods) == (3, DAYS)
    again = look(tmp_path, visits, dimensions=["town"], events="events.csv")
    assert again == found, "ids too are the same each time"


@pytest.mark.parametrize(("agg", "expression"), [("count", None), ("sum", "spent"), ("mean", "spent")])
def test_a_dropout_is_found_in_counts_and_sums_and_is_no_mean(visits, tmp_path, agg, expression):
    day = np.array([(one - MONDAY) // DAY for one in visits["at"].to_pylist()])
    gone = visits.filter(pa.array(day != 120))
    found = look(tmp_path, gone, agg=agg, expression=expression)
    dropped = [one for one in found.anomalies if one.begin == MONDAY + 120 * DAY]
    assert [one.current for one in dropped] == ([] if agg == "mean" else [0.0])


def test_a_period_counts_once_it_is_over(visits, tmp_path):
    """Early on a day a quarter of its rows are there, which is no drop."""
    early = MONDAY + 150 * DAY + timedelta(hours=6)
    so_far = visits.filter(pc.less(visits["at"], pa.scalar(early, pa.timestamp("us", "UTC"))))
    for until, periods in ((early, 150), (MONDAY + 151 * DAY, 151)):
        found = look(tmp_path, so_far, until, agg="count", expression=None)
        assert found.watched[0].periods == periods
        assert [one.begin for one in found.anomalies if one.begin >= MONDAY + 149 * DAY] == (
            [] if periods == 150 else [MONDAY + 150 * DAY]
        )


@pytest.mark.slow
def test_rows_that_come_late_mend_the_past(visits, tmp_path):
    """What is said of a day rests on days before it, and on all rows of these that are there by now."""
    day = np.array([(one - MONDAY) // DAY for one in visits["at"].to_pylist()])
    half = visits.filter(pa.array((day != 140) | (np.arange(len(day)) % 4 == 0)))
    count = {"agg": "count", "expression": None}
    whole, late = look(tmp_path, visits, **count), look(tmp_path, half, **count)
    assert any(one.begin == MONDAY + 140 * DAY for one in late.anomalies)
    mixed = visits.take(np.random.default_rng(0).permutation(len(day)))
    assert look(tmp_path, mixed, **count) == whole


@pytest.mark.slow
def test_what_is_left_out(visits, tmp_path):
    plain = look(tmp_path, visits, dimensions=["town"])
    assert len(plain.anomalies) == 2
    thursday = {"suppress": [{"begin": "2024-05-30", "end": "2024-06-01", "reason": "strike"}]}
    assert not look(tmp_path, visits, dimensions=["town"], **thursday).anomalies
    both = [date(2024, 5, 30), date(2024, 5, 31)]
    assert not look(tmp_path, visits, dimensions=["town"], holidays=both).anomalies
    assert not look(tmp_path, visits, dimensions=["town"], min_duration=3).anomalies
    large = look(tmp_path, visits, dimensions=["town"], min_share=0.9).anomalies
    assert [one.dimension for one in large] == [ALL]
    moved = visits.set_column(0, "at", pa.array([one + 2 * DAY for one in visits["at"].to_pylist()]))
    assert look(tmp_path, moved, dimensions=["town"]).anomalies
    assert not look(tmp_path, moved, dimensions=["town"], weekends=False).anomalies
    assert not look(tmp_path, visits, dimensions=["town"], min_rows=5000).anomalies


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        ({"table": "visit"}, "monitors.lateness.table: no table 'visit'. Did you mean 'visits'?"),
        ({"moment": "when"}, "monitors.lateness.moment: no column 'when'"),
        ({"moment": "town"}, "'town' holds no moments, but VARCHAR"),
        ({"dimensions": ["twon"]}, "no column 'twon'. Did you mean 'town'?"),
        ({"expression": "spent"}, "is DOUBLE; write a condition, such as spent > 0"),
        ({"expression": "lat"}, "lat"),
        ({"where": "spent"}, "lateness.where: is DOUBLE"),
        ({"every": "1s"}, "lateness.every: makes"),
        ({"where": "spent < 0"}, "has no rows in a period that is over"),
    ],
)
def test_mistakes_are_named(visits, tmp_path, monitor, words):
    with pytest.raises(UserError) as error:
        look(tmp_path, visits, **monitor)
    assert words in str(error.value)


def test_mistakes_of_the_configuration():
    for monitor, words in (
        ({"agg": "rate"}, "expression of rate is missing"),
        ({"agg": "count", "expression": "late"}, "counts rows; write where"),
        ({"agg": "count", "detector": {"kind": "seasonl"}}, "Did you mean 'seasonal'"),
        ({"agg": "count", "detector": {"kind": "threshold"}}, "sets no limit; write min, max"),
        ({"agg": "count", "detector": {"kind": "threshold", "min": 5, "max": 1}}, "no figure is at least 5"),
    ):
        with pytest.raises(ValueError, match=words):
            AnomaliesSpec.model_validate({"monitors": {"m": {"table": "t", "moment": "at", **monitor}}})


def test_a_rate_of_few_rows_is_as_uncertain_as_they_are():
    """A fifth of 1,000 rows a day, then of 30: what 30 rows do by chance is not unusual."""
    generator = np.random.default_rng(0)
    rows = np.tile(np.where(np.arange(300) < 200, 1000, 30), (50, 1)).astype(float)
    values = generator.binomial(rows.astype(int), 0.2) / rows
    (spec,) = settings(("seasonal",))
    series = replace(series_of(values), rows=rows, agg="rate")
    alarms = np.count_nonzero(sides(values, detector_of(spec).band(series)))
    assert alarms / values.size < 0.001
    plain = np.count_nonzero(sides(values, detector_of(spec).band(series_of(values))))
    assert plain > 10 * max(alarms, 1), "which a detector that does not know of rows takes for anomalies"


def test_a_count_is_a_whole_number():
    """Ten each day, and once eleven, is nothing to wake for; three times as many is."""
    values = np.full((1, 120), 10.0)
    values[0, 60::20] = 11
    series = replace(series_of(values), agg="count")
    (spec,) = settings(("seasonal",))
    assert not sides(values, detector_of(spec).band(series)).any()
    values[0, 110] = 30
    assert np.flatnonzero(sides(values, detector_of(spec).band(series))).tolist() == [110]


def test_what_is_no_finite_number_does_not_count(visits, tmp_path):
    """A division by zero in one row would make the figure of its day, and the band of weeks, infinite."""
    plain = look(tmp_path, visits, agg="mean", expression="spent")
    odd = visits.slice(5000, 3).set_column(3, "spent", pa.array([float("inf"), float("nan"), float("-inf")]))
    assert look(tmp_path, pa.concat_tables([visits, odd]), agg="mean", expression="spent") == plain
