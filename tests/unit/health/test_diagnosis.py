"""Diagnosis: known causes are named, the best set is that of trying all, and parts add up to the change."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from diagnosis_data import f1, make_case, sets_of, sides_of
from proml_kedro.errors import UserError
from proml_kedro.health.anomalies.watch import watching
from proml_kedro.health.diagnosis.diagnose import Found, Sides, diagnose, value_parts
from proml_kedro.health.diagnosis.explain import Question, explain
from proml_kedro.health.diagnosis.likelihood import Binomial
from proml_kedro.health.diagnosis.related import correlation
from proml_kedro.health.diagnosis.sample import Sample
from proml_kedro.health.diagnosis.scan import Points, scan
from proml_kedro.results.anomalies import ALL
from proml_kedro.results.diagnosis import Diagnosis
from proml_kedro.spec.anomalies import AnomaliesSpec
from proml_kedro.spec.hardware import HardwareSpec

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def told(generator: np.random.Generator, kind: str, with_others: bool = True) -> Found:
    case = make_case(generator, kind=kind)
    return diagnose("rate", sides_of(case), sides_of(case, ["hidden"]) if with_others else None)


def test_known_causes_are_named():
    generator = np.random.default_rng(12)
    reached = []
    for causes in (1, 2, 3, 3):
        case = make_case(generator, causes)
        found = diagnose("rate", sides_of(case))
        assert found.verdict == "set"
        assert sum(one.points for one in found.parts) == pytest.approx(found.current - found.before)
        reached.append(f1(sets_of(found), case.truth))
    assert np.mean(reached) > 0.85


@pytest.mark.slow
def test_sets_of_up_to_three_dimensions_are_named():
    generator = np.random.default_rng(3)
    cases = [make_case(generator, causes, order) for causes in (1, 2, 3) for order in (1, 2, 3, None) for _ in range(8)]
    assert np.mean([f1(sets_of(diagnose("rate", sides_of(one))), one.truth) for one in cases]) > 0.9


@pytest.mark.parametrize(
    ("kind", "verdict", "unseen"), [("", "nothing", "nothing"), ("hidden", "outside", "everybody"), ("everybody",) * 3]
)
def test_what_is_no_set_of_values_is_called_so(kind, verdict, unseen):
    """A part that no column of the table knows cannot be told from all rows: the share of each value rises alike."""
    generator = np.random.default_rng(4)
    found = [told(generator, kind) for _ in range(4)]
    assert Counter(one.verdict for one in found) == {verdict: 4}
    assert told(generator, kind, with_others=False).verdict == unseen
    if kind == "hidden":
        assert all(one.parts[0].values == {"hidden": ("3",)} for one in found)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "verdict"), [("", "nothing"), ("hidden", "outside"), ("everybody", "everybody")])
def test_what_is_no_set_of_values_is_nearly_always_called_so(kind, verdict):
    generator = np.random.default_rng(5)
    assert np.mean([told(generator, kind).verdict == verdict for _ in range(20)]) >= 0.95


def test_the_best_set_is_that_of_trying_all():
    """Every set of values of three dimensions, scored by itself."""
    sizes = (3, 4, 3)
    for seed in range(6):
        generator = np.random.default_rng(seed)
        codes = np.stack([generator.integers(0, size, 900) for size in sizes])
        chance = np.where(np.isin(codes[0], [0, 2]) & (codes[2] == 1), 0.5, 0.2)
        seen = (generator.random(900) < chance).astype(float)
        one = np.ones(900)
        known = [np.full(size, np.inf) for size in sizes]
        points = Points(codes, sizes, seen, one * seen.mean(), one, known, Binomial())
        score, chosen = scan(points)
        assert score == pytest.approx(max(_scores(points)))
        assert {number: np.flatnonzero(mask).tolist() for number, mask in chosen.items()} == {0: [0, 2], 2: [1]}


def _scores(points: Points) -> list[float]:
    from math import comb, log

    masks = [[np.array(mask) for mask in product([False, True], repeat=size) if any(mask)] for size in points.sizes]
    found = []
    for chosen in product(*masks):
        inside = points.inside(dict(enumerate(chosen)))
        parts = [np.array([part[inside].sum()]) for part in (points.seen, points.expected, points.size)]
        if parts[0] <= parts[1]:
            continue
        lengths = [log(comb(len(mask), mask.sum()) * len(mask)) + 1 for mask in chosen if not mask.all()]
        gain = points.likelihood.against_rest(parts[0], parts[1], parts[2], points.totals)
        found.append(float(gain[0]) - sum(lengths))
    return found


def _sides(agg: str, fault: str) -> Sides:
    """Rows of 20 days and of one, where what ``fault`` says happened to a = 1 and b = 0."""
    generator = np.random.default_rng(8)
    samples = []
    for days in (range(20), [20]):
        parts = [[generator.choice(size, 1500) for size in (5, 4)] for _ in days]
        codes = np.concatenate([np.stack(one) for one in parts], axis=1)
        period = np.repeat(list(days), 1500)
        hit = (codes[0] == 1) & (codes[1] == 0) & (period == 20)
        values = generator.normal(10 + codes[0], 3) if agg in ("mean", "sum") else np.ones(len(period))
        if agg == "rate":
            values = (generator.random(len(period)) < np.where(hit, 0.05, 0.4)).astype(float)
        values = values + 4 * hit if fault == "higher" else values
        kept = ~(hit & (generator.random(len(period)) < 0.8)) if fault == "lost" else np.ones(len(period), bool)
        one = np.ones(kept.sum())
        samples.append(Sample(codes[:, kept], (5, 4), period[kept], one, values[kept], values[kept] ** 2))
    return Sides(["a", "b"], [list("01234"), list("0123")], samples[1], samples[0], (1, 20))


@pytest.mark.parametrize(("agg", "fault"), [("rate", "falls"), ("mean", "higher"), ("count", "lost"), ("sum", "lost")])
def test_all_figures_and_both_directions(agg, fault):
    sides = _sides(agg, fault)
    found = diagnose(agg, sides)
    assert found.verdict == "set"
    assert found.parts[0].values == {"a": ("1",), "b": ("0",)}
    assert sum(one.points for one in found.parts) == pytest.approx(found.current - found.before)
    values = value_parts(agg, sides)
    for name in ("a", "b"):
        of_name = [one for one in values if one.dimension == name]
        assert sum(one.rate + one.mix for one in of_name) == pytest.approx(found.current - found.before)
    assert {(one.dimension, one.value) for one in values[:2]} == {("a", "1"), ("b", "0")}


def test_other_rows_that_behave_as_before_are_a_mix():
    generator = np.random.default_rng(2)
    samples = []
    for rows, shares in ((20_000, [0.8, 0.2]), (5_000, [0.5, 0.5])):
        code = generator.choice(2, rows, p=shares)
        held = (generator.random(rows) < np.array([0.2, 0.6])[code]).astype(float)
        one = np.ones(rows)
        samples.append(Sample(code[None], (2,), one.astype(np.int64), one, held, held))
    sides = Sides(["town"], [["Bern", "Oslo"]], samples[1], samples[0], (1, 1))
    found = diagnose("rate", sides)
    assert found.verdict == "mix"
    assert {one.kind for one in found.parts if one.sure} == {"mix"}
    mix = sum(one.mix for one in value_parts("rate", sides))
    assert mix == pytest.approx(0.12, abs=0.01), "(.5 - .2) x (.6 - .2)"
    assert next(one for one in found.parts if one.kind == "mix").points == pytest.approx(mix, abs=0.005)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Any:
    """Ninety days of visits; from day 80 on for two days those by phone in Oslo buy less, and then a shop is closed."""
    generator = np.random.default_rng(1)
    columns: dict[str, list[Any]] = {name: [] for name in ("at", "town", "by", "bought", "clerk", "note")}
    for day in range(90):
        rows = 400 + 200 * (day % 7 == 5) + int(generator.normal(0, 10))
        town = generator.choice(["Bern", "Oslo", "Rome"], rows)
        by = generator.choice(["phone", "web", None], rows)
        clerk = generator.choice(["ann", "bob", "eve"], rows)
        chance = np.full(rows, 0.5)
        if day in (80, 81):
            chance[(town == "Oslo") & (by == "phone")] = 0.05
        if day == 87:
            chance[clerk == "eve"] = 0.1
        columns["at"] += [MONDAY + day * DAY + timedelta(minutes=int(one)) for one in generator.integers(0, 1440, rows)]
        for name, values in (("town", town), ("by", by), ("clerk", clerk)):
            columns[name] += values.tolist()
        columns["bought"] += (generator.random(rows) < chance).tolist()
        columns["note"] += [f"row {number}" for number in range(rows)]
    folder = tmp_path_factory.mktemp("shop")
    table = pa.table(columns)
    pq.write_table(table, folder / "visits.parquet")
    (folder / "events.csv").write_text("moment,name\n2024-03-21T07:00:00+00:00,new phones\n")
    return folder, table


def ask(
    folder: Any, first: int, days: int, dimension: str = ALL, value: str = "", hours: int = 0, **more: Any
) -> Diagnosis:
    common = {"table": "visits", "moment": "at"}
    rate = {**common, "agg": "rate", "expression": "bought", "dimensions": ["town", "by"], **more}
    monitors = {"sales": rate, "visits": {**common, "agg": "count"}}
    spec = AnomaliesSpec.model_validate({"monitors": monitors, "events": "events.csv"})
    tables = {"visits": folder / "visits.parquet"}
    with watching(spec, tables, folder, HardwareSpec(threads=1), MONDAY + 90 * DAY) as watch:
        begin, late = MONDAY + first * DAY, timedelta(hours=hours)
        question = Question("sales", dimension, value, begin + late, begin + days * DAY + late)
        return explain(watch, question, watch.run().anomalies)


def test_a_table_is_read_as_it_is(shop):
    folder, table = shop
    found = ask(folder, 80, 2)
    assert found.verdict == "set"
    (part,) = (one for one in found.parts if one.kind == "set")
    assert dict(part.values) == {"town": ("Oslo",), "by": ("phone",)}
    begin, end = pa.scalar(MONDAY + 80 * DAY), pa.scalar(MONDAY + 82 * DAY)
    now = table.filter(pc.and_(pc.greater_equal(table["at"], begin), pc.less(table["at"], end)))
    inside = now.filter(pc.and_(pc.equal(now["town"], "Oslo"), pc.equal(now["by"], "phone")))
    assert (found.rows, part.rows) == (now.num_rows, inside.num_rows)
    assert part.current == pytest.approx(pc.mean(pc.cast(inside["bought"], pa.int8())).as_py())
    assert found.current == pytest.approx(pc.mean(pc.cast(now["bought"], pa.int8())).as_py())
    assert [one.name for one in found.events] == ["new phones"]
    weekdays = {(MONDAY + 80 * DAY).weekday(), (MONDAY + 81 * DAY).weekday()}
    usual = [day for day in range(80) if (MONDAY + day * DAY).weekday() in weekdays][-16:]
    assert found.periods_before == 16
    days = [moment.date() for moment in table["at"].to_pylist()]
    assert found.rows_before == sum(days.count((MONDAY + day * DAY).date()) for day in usual)


def test_other_columns_and_one_value(shop):
    folder, _ = shop
    found = ask(folder, 87, 1)
    assert found.verdict == "outside"
    assert found.words.endswith("%)")
    assert "outside of the dimensions: clerk = eve" in found.words
    assert ask(folder, 70, 1).verdict == "nothing"
    of_oslo = ask(folder, 80, 2, "town", "Oslo")
    assert dict(of_oslo.parts[0].values) == {"by": ("phone",)}
    assert {one.dimension for one in of_oslo.values} == {"by"}
    assert ask(folder, 80, 2, dimensions=[]).verdict == "outside", "town and by are columns, too"


def test_whole_periods_that_are_over_are_told(shop):
    """Rows of half a day are not compared with those of whole ones, and the answer says of which days it is."""
    folder, _ = shop
    whole, half = ask(folder, 80, 2), ask(folder, 80, 2, hours=6)
    assert (half.begin, half.end) == (MONDAY + 80 * DAY, MONDAY + 83 * DAY)
    assert half.rows > whole.rows
    assert ask(folder, 88, 9).end == MONDAY + 90 * DAY


def test_what_cannot_be_compared_is_refused(shop):
    for first, message in ((0, "no usual period before"), (95, "no period that is over")):
        with pytest.raises(UserError, match=message):
            ask(shop[0], first, 1)


def test_correlation_is_of_ranks():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    one = generator.integers(0, 9, 60).astype(float)
    other = one + generator.normal(0, 3, 60)
    other[3] = np.nan
    known = np.isfinite(other)
    assert correlation(one, other) == pytest.approx(stats.spearmanr(one[known], other[known]).statistic)
    assert correlation(one[:12], other[:12]) is None
    assert correlation(np.ones(60), other) is None
