"""The verdict against known truth: silent where nothing happened, loud where something did.

The rates themselves are measured by benchmarks/health.py.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from health_data import CHANGES, DISTRIBUTIONS, INPUTS, draw
from proml_kedro.health.calibrate import calibrate
from proml_kedro.health.drift import check_drift
from proml_kedro.health.profile import ReferenceProfile, profile
from proml_kedro.health.statistics import prediction_bound
from proml_kedro.models.component import Input
from proml_kedro.spec.monitoring import GateSpec

GATE = GateSpec()
SCORED = [Input(f"{view}.{name}", "float") for view in ("weather", "plane") for name in "abc"] + [
    Input("score", "float")
]


@pytest.mark.parametrize(
    ("rows", "repeats"),
    [pytest.param(500, 60, marks=pytest.mark.slow), pytest.param(1000, 40, marks=pytest.mark.slow), (5000, 8)],
)
def test_random_splits_are_like_the_reference(rows, repeats):
    """At most 1 % a column and 2 % a verdict; the bounds are what binomial samples of those rates hardly exceed."""
    generator = np.random.default_rng(rows + 1)
    results = [check_drift(draw(generator, rows), draw(generator, rows), INPUTS, GATE) for _ in range(repeats)]
    alarms = [one.name for result in results for one in result.columns if one.reasons]
    assert max((alarms.count(name) for name in alarms), default=0) <= 0.01 * repeats + 3 * np.sqrt(0.01 * repeats)
    assert sum(result.verdict != "ok" for result in results) <= 0.02 * repeats + 3 * np.sqrt(0.02 * repeats)


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_found(change):
    name, apply = CHANGES[change]
    generator = np.random.default_rng(7)
    inputs = [one for one in INPUTS if one.name == name]
    for _ in range(3):
        reference, current = DISTRIBUTIONS[name](generator, 20_000), DISTRIBUTIONS[name](generator, 5000)
        result = check_drift({name: reference}, {name: apply(current, generator)}, inputs, GATE)
        assert result.verdict in ("warn", "drift"), result.columns
        assert name in result.words, "the verdict says what to look at"


def test_one_outlier_neither_raises_nor_hides():
    generator = np.random.default_rng(1)
    inputs = [Input("x", "float")]
    usual, now = generator.normal(size=4000), generator.normal(size=2000)
    with_outlier = np.append(usual, 1e9)
    assert check_drift({"x": usual}, {"x": np.append(now, 1e9)}, inputs, GATE).verdict == "ok"
    assert check_drift({"x": with_outlier}, {"x": now}, inputs, GATE).verdict == "ok"
    for change in (now + 0.3, np.where(np.arange(2000) % 20, now, 900.0), now * 1000):
        assert check_drift({"x": with_outlier}, {"x": change}, inputs, GATE).verdict != "ok"


def scored(generator, rows, level=0.0):
    """Two views of three numbers each; the score goes with the first of each, and hardly with the others."""
    columns = {one.name: generator.normal(level, 1, rows) for one in SCORED[:-1]}
    margin = columns["weather.a"] + 0.7 * columns["plane.a"] + 0.1 * columns["weather.b"]
    score = 1 / (1 + np.exp(-margin + generator.normal(size=rows)))
    return {**columns, "score": score, "label": (generator.random(rows) < score).astype(float)}


@pytest.fixture(scope="module")
def known():
    return ReferenceProfile.model_validate_json(
        profile(scored(np.random.default_rng(1), 8000), SCORED).model_dump_json()
    )


@pytest.fixture
def week():
    return scored(np.random.default_rng(2), 1000)


def judged(known, week, **changes):
    return check_drift(known, {**week, **changes}, SCORED, GATE)


def test_a_week_like_the_others(known, week):
    assert judged(known, week).words == "like the reference, in all of 7 columns"


@pytest.mark.parametrize("silence", [np.nan, 0.5])
def test_a_lost_feed_is_drift(known, week, silence):
    lost = {f"weather.{name}": np.full(1000, silence) for name in "abc"}
    result = judged(known, week, **lost)
    assert (result.verdict, result.lost) == ("drift", ("weather",))
    assert result.words == "drifted: nothing comes from weather any more"


def test_a_feed_that_is_lost_but_for_a_column_that_is_always_zero(week):
    """What was one value all along tells nothing of the feed: neither for it, nor against."""
    generator = np.random.default_rng(1)

    def with_rain(columns, share):
        return {**columns, "weather.rain": np.where(generator.random(len(columns["score"])) < share, 1.0, 0.0)}

    inputs = [*SCORED, Input("weather.rain", "float")]
    known = profile(with_rain(scored(generator, 8000), 0.01), inputs)
    dry = with_rain(week, 0.0)
    assert check_drift(known, dry, inputs, GATE).verdict == "ok"
    stuck = {f"weather.{name}": np.full(1000, 0.5) for name in "abc"}
    assert check_drift(known, {**dry, **stuck}, inputs, GATE).lost == ("weather",)


def test_a_feed_that_was_silent_before_is_no_news(known, week):
    silent = {**week, **{f"weather.{name}": np.full(1000, 0.5) for name in "abc"}}
    movements = calibrate([(scored(np.random.default_rng(3), 4000), silent)], SCORED, GATE)
    assert movements["weather.a"]["stuck"] == 1.0
    assert check_drift(known, silent, SCORED, GATE, movements).lost == ()


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda score: np.full(len(score), 0.3), "stuck"),
        (lambda score: np.full(len(score), np.nan), "empty"),
        (lambda score: 1 - score, "score_relation"),
        (lambda score: np.random.default_rng(0).permutation(score), "score_relation"),
    ],
)
def test_a_score_that_is_broken_is_drift(known, week, change, check):
    result = judged(known, week, score=change(week["score"]))
    found = next(one for one in result.columns if one.name == "score")
    assert (result.verdict, found.verdict) == ("drift", "drift")
    assert check in found.reasons


def test_an_inverted_score_is_called_so(known, week):
    assert "the other way round" in judged(known, week, score=1 - week["score"]).columns[0].message


def test_labels_that_scores_do_not_foretell(known, week):
    found = judged(known, week, label=np.minimum(1, week["label"] + (np.arange(1000) % 3 == 0)))
    assert found.columns[0].name == "score"
    assert found.columns[0].reasons == ("score_calibration",)
    assert "labels less scores" in found.columns[0].message
    unknown = judged(known, week, label=np.full(1000, np.nan))
    assert unknown.verdict == "ok", "labels that are not known yet say nothing"


def test_columns_weigh_what_they_matter_to_the_model(known, week):
    """The same shift: of the column that the score goes with most, and of one that it does not go with."""
    assert known.score.weight("weather.a") == 1.0
    assert 0.5 < known.score.weight("plane.a") < 0.9
    assert known.score.weight("plane.c") == 0.25
    (most, *_), little = (judged(known, week, **{name: week[name] + 0.35}).columns for name in ("weather.a", "plane.c"))
    assert (most.name, most.verdict) == ("weather.a", "warn")
    of_little = next(one for one in little if one.name == "plane.c")
    assert (of_little.verdict, of_little.words) == ("ok", "matters little: distribution")
    result = judged(known, week, **{"plane.c": week["plane.c"] + 0.35})
    assert (
        result.words == "like the reference, in all of 7 columns; what differs in 1 of them matters little to the model"
    )


def test_sources_count_and_not_columns():
    """Nine columns of one source among ten sources are one tenth; four of four sources are too many."""
    generator = np.random.default_rng(1)
    wide = [Input(f"wide.c{number}", "float") for number in range(9)] + [Input(f"v{n}.x", "float") for n in range(9)]

    def columns(rows, moved=()):
        return {one.name: generator.normal(0.35 * (one.name in moved), 1, rows) for one in wide}

    reference = columns(6000)
    one_source = check_drift(reference, columns(2000, {one.name for one in wide[:9]}), wide, GATE)
    assert one_source.verdict == "warn"
    many = check_drift(reference, columns(2000, {f"v{number}.x" for number in range(4)}), wide, GATE)
    assert many.verdict == "drift"
    assert many.words.startswith("drifted: 4 of 18 columns differ, which is too many; look at v")


def test_150_equally_frequent_categories_are_no_alarm():
    """Bins chosen by the reference's own counts raised one in 87 % of such samples."""
    generator = np.random.default_rng(1)
    names = np.array([f"level {number}" for number in range(150)], object)
    inputs = [Input("x", "str")]
    for _ in range(20):
        first, second = ({"x": names[generator.integers(0, 150, 500)]} for _ in range(2))
        assert check_drift(first, second, inputs, GATE).verdict == "ok"


def test_a_bound_is_for_the_next_period():
    """Of 17 values the last is the largest once in 17; a bound for it is exceeded once in a thousand times."""
    generator = np.random.default_rng(0)
    sizes = np.exp(generator.normal(-3, 0.6, (4000, 17)))
    exceeded = [one[16] > prediction_bound(one[:16], 1e-4) for one in sizes]
    largest = np.mean(sizes[:, 16] > sizes[:, :16].max(axis=1))
    assert np.mean(exceeded) <= 0.003
    assert largest == pytest.approx(1 / 17, abs=0.015)
    assert prediction_bound([], 0.1) == prediction_bound([np.nan], 0.1) == 0.0
    assert prediction_bound([0.2], 0.01) < 0.7, "one period does not excuse anything"


def test_of_ids_no_names_are_kept_and_their_loss_is_found():
    ids = np.array([f"person {number}" for number in range(3000)], object)
    inputs = [Input("id", "str")]
    known = profile({"id": ids}, inputs)
    assert "person" not in known.model_dump_json()
    for lost, check in ((np.full(1000, None, object), "empty"), (np.full(1000, "person 7", object), "stuck")):
        result = check_drift(known, {"id": lost}, inputs, GATE)
        assert (result.verdict, result.columns[0].reasons[0]) in (("drift", "empty"), ("warn", "stuck"))
        assert check in result.columns[0].reasons
    fresh = np.array([f"guest {number}" for number in range(1000)], object)
    assert check_drift(known, {"id": fresh}, inputs, GATE).verdict == "ok"


def test_a_bound_where_nothing_is_small():
    assert prediction_bound([0.0, 0.0], 0.0) < 1e-6


def test_a_feed_that_comes_in_part_is_seen_although_no_column_of_it_matters():
    """An eighth of two columns that the score does not go with; one of them alone is of no account."""
    inputs = [*SCORED, Input("rain.now", "float"), Input("rain.later", "float")]

    def rows(seed, count):
        generator = np.random.default_rng(seed)
        return {**scored(generator, count), **{one.name: generator.normal(size=count) for one in inputs[-2:]}}

    known, now = profile(rows(1, 8000), inputs), rows(2, 2000)
    gone = np.arange(2000) % 8 == 0
    alone = {**now, "rain.now": np.where(gone, np.nan, now["rain.now"])}
    both = {**alone, "rain.later": np.where(gone, np.nan, now["rain.later"])}
    assert [check_drift(known, one, inputs, GATE).verdict for one in (now, alone, both)] == ["ok", "ok", "warn"]
    found = check_drift(known, both, inputs, GATE)
    assert {one.name for one in found.columns if one.verdict == "warn"} == {"rain.now", "rain.later"}
    assert "rain" in found.words
    constant = {**now, "rain.now": np.zeros(2000), "rain.later": np.zeros(2000)}
    same = profile({**rows(1, 8000), "rain.now": np.zeros(8000), "rain.later": np.zeros(8000)}, inputs)
    assert check_drift(same, constant, inputs, GATE).verdict == "ok", "constants lack nothing"


def test_a_value_for_nothing_does_not_hide_behind_the_season():
    """Each month is warmer than the one before by the whole width of a month: beyond its range, but not far beyond."""
    inputs, generator = [Input("weather.temp", "float")], np.random.default_rng(3)
    months = [{"weather.temp": generator.normal(10 * month, 2, 3000)} for month in range(9)]
    movements = calibrate(itertools.pairwise(months[:8]), inputs, GATE)
    assert check_drift(months[7], months[8], inputs, GATE, movements).verdict == "ok"
    marked = np.where(np.arange(3000) % 10, months[8]["weather.temp"], -999.0)
    found = check_drift(months[7], {"weather.temp": marked}, inputs, GATE, movements)
    assert found.verdict == "drift"
    assert found.words.endswith("look at weather.temp (far)")
