"""The gate: silent on the same distribution, loud on a change, never an exception."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from proml_kedro.health.calibrate import calibrate
from proml_kedro.health.drift import check_drift
from proml_kedro.health.numeric_profile import NumericProfile
from proml_kedro.health.profile import ReferenceProfile, profile
from proml_kedro.models.component import Input
from proml_kedro.spec.monitoring import GateSpec

GATE = GateSpec()
CITIES = np.array([f"city {number}" for number in range(30)], object)
INPUTS = [
    Input("normal", "float"),
    Input("skewed", "float"),
    Input("weekday", "int"),
    Input("rain", "float"),
    Input("member", "bool"),
    Input("city", "str"),
]


def draw(rows, generator):
    """Columns of the sorts there are: smooth, skewed, few values, mostly zero, two values, categories; with nulls."""
    rain = np.where(generator.random(rows) < 0.9, 0.0, generator.exponential(2.0, rows))
    city = CITIES[np.minimum(generator.geometric(0.15, rows), 30) - 1]
    city[generator.random(rows) < 0.03] = None
    normal = generator.normal(50, 10, rows).astype(np.float32)
    normal[generator.random(rows) < 0.05] = np.nan
    return {
        "normal": normal,
        "skewed": np.exp(generator.normal(0, 2, rows)),
        "weekday": generator.integers(1, 8, rows).astype(float),
        "rain": rain,
        "member": (generator.random(rows) < 0.2).astype(float),
        "city": city,
    }


def check(reference, current, gate=GATE, **options):
    return check_drift(reference, current, INPUTS, gate, **options)


def finding(result, name):
    return next(one for one in result.columns if one.name == name)


@pytest.fixture(scope="module")
def reference():
    return draw(8000, np.random.default_rng(1))


@pytest.mark.parametrize("rows", [500, 1000, 5000])
def test_the_same_distribution_is_ok(rows):
    """60 pairs of 6 columns: not one finding is expected at alpha = 0.001, two would be very unlikely."""
    generator = np.random.default_rng(rows)
    results = [check(draw(rows, generator), draw(rows, generator)) for _ in range(60)]
    assert all(result.verdict != "drift" for result in results)
    assert sum(one.verdict != "ok" for result in results for one in result.columns) <= 1


def test_the_threshold_alone_does_not_keep_it_quiet():
    """Significance must hold back small samples: with hardly any threshold, alarms stay as rare as alpha says."""
    generator = np.random.default_rng(9)
    gate = GateSpec(psi=1e-9, alpha=0.01)
    results = [check(draw(1500, generator), draw(600, generator), gate) for _ in range(100)]
    alarms = np.mean([any("distribution" in one.reasons for one in result.columns) for result in results])
    assert alarms <= 0.01 + 3 * np.sqrt(0.01 / 100)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("normal", lambda values: values + 3),  # 0.3 standard deviations
        ("skewed", lambda values: values * 2),
        ("weekday", lambda values: np.where(values == 7, 1, values)),
        ("rain", lambda values: np.where(values > 0, 0, values + 1)),
        ("member", lambda values: 1 - values),
    ],
)
def test_a_change_is_found(reference, name, change):
    generator = np.random.default_rng(2)
    found = 0
    for _ in range(20):
        current = draw(5000, generator)
        current[name] = change(current[name])
        result = check(reference, current)
        found += "distribution" in finding(result, name).reasons
        assert [one.name for one in result.columns if one.verdict != "ok"] in ([], [name])
    assert found >= 18


def test_nulls_categories_and_units(reference):
    current = draw(3000, np.random.default_rng(3))
    current["normal"][:600] = np.nan
    current["skewed"] *= 1000
    current["city"][:400] = "a new city"
    result = check(reference, current)
    assert result.verdict == "drift"
    assert finding(result, "normal").reasons == ("nulls",)
    assert finding(result, "normal").message == "nulls 5.1% → 24.0%"
    assert finding(result, "normal").verdict == "warn", "less than 20 points are not severe"
    assert "scale" in finding(result, "skewed").reasons
    assert "times larger" in finding(result, "skewed").message
    assert "new_values" in finding(result, "city").reasons
    assert finding(result, "city").verdict == "drift", "13 % of the rows"
    assert finding(result, "skewed").verdict == "drift"


def test_a_dry_week_is_no_change_of_unit():
    generator = np.random.default_rng(4)
    wet = np.where(generator.random(20_000) < 0.1, generator.exponential(5, 20_000), 0.0)
    dry = np.where(generator.random(3000) < 0.002, generator.exponential(5, 3000), 0.0)
    result = check_drift({"rain": wet}, {"rain": dry}, [Input("rain", "float")], GATE)
    assert "scale" not in result.columns[0].reasons
    assert "distribution" in result.columns[0].reasons


def test_which_checks_fail_is_the_gates_to_say(reference):
    current = draw(3000, np.random.default_rng(3))
    current["normal"] += 4  # 0.4 standard deviations: not severe, however small the limit
    assert check(reference, current).verdict == "warn"
    assert check(reference, current, GateSpec(fail_on=["distribution"])).verdict == "drift"
    assert check(reference, current, GateSpec(fail_share=0.1)).verdict == "warn", "one column is not many"
    assert check(reference, {**current, "weekday": np.full(3000, 7.0)}, GateSpec(fail_share=0.3)).verdict == "drift"
    current["normal"] += 6
    assert check(reference, current).verdict == "drift"
    assert check(reference, current, GateSpec(severe=99)).verdict == "warn"
    lenient = GateSpec(range=1.0)
    assert check(reference, current, lenient.model_copy(update={"psi": 5.0})).verdict == "ok"
    assert check(reference, current, lenient.model_copy(update={"columns": {"normal": 5.0}})).verdict == "ok"
    assert check(reference, current, lenient, movements={"normal": {"distribution": 4.0}}).verdict == "ok"
    assert finding(
        check(reference, current, movements={"normal": {"distribution": 4.0}}), "normal"
    ).threshold == pytest.approx(4.0)


def test_what_always_moves_is_no_drift():
    """A column with a new level every week: its earlier moves are its threshold."""
    generator = np.random.default_rng(6)
    levels = generator.normal(0, 1, 14)
    weeks = [{"moody": generator.normal(level, 1, 2000)} for level in levels]
    inputs = [Input("moody", "float")]
    movements = calibrate(itertools.pairwise(weeks[:13]), inputs)
    assert movements["moody"]["distribution"] > 0.5
    gate = GateSpec(fail_on=["distribution"])
    quiet = {"moody": generator.normal(levels[12] + 0.5, 1, 2000)}
    assert check_drift(weeks[12], quiet, inputs, gate).verdict == "drift"
    blunt = check_drift(weeks[12], quiet, inputs, gate, movements)
    assert blunt.verdict == "ok"
    limit = movements["moody"]["distribution"]
    assert blunt.notices == (
        f"only large shifts stand out, as earlier periods differed as much: moody (PSI from {limit:.2f} on)",
    )
    for others in ({}, {"moody": {"distribution": 0.2}}):
        assert not check_drift(weeks[12], quiet, inputs, gate, others).notices
    for gate in (GateSpec(psi=3.0), GateSpec(columns={"moody": 3.0})):
        assert not check_drift(weeks[12], quiet, inputs, gate, movements).notices, "somebody has set it so"


def test_nulls_that_come_and_go_are_no_finding():
    generator = np.random.default_rng(6)

    def week(share):
        return {"gust": np.where(generator.random(2000) < share, np.nan, generator.normal(size=2000))}

    inputs = [Input("gust", "float")]
    movements = calibrate([(week(0.5), week(0.7)), (week(0.6), week(0.4))], inputs)
    assert 0.2 < movements["gust"]["nulls"] < 0.7, "more than it ever was, and not beyond measure"
    assert check_drift(week(0.5), week(0.65), inputs, GATE).columns[0].reasons == ("nulls",)
    assert check_drift(week(0.5), week(0.65), inputs, GATE, movements).verdict == "ok"
    assert check_drift(week(0.1), week(0.85), inputs, GATE, movements).columns[0].reasons == ("nulls",)
    assert check_drift(week(0.5), week(0.65), inputs, GateSpec(psi=0.1), movements).verdict != "ok"


def test_short_periods_do_not_calibrate(reference):
    small = {name: values[:100] for name, values in reference.items()}
    assert calibrate([(small, small)], INPUTS) == {}
    assert calibrate([], INPUTS) == {}


def test_too_few_rows_give_no_verdict_but_what_is_gone_is_gone(reference):
    current = draw(100, np.random.default_rng(7))
    few, whole = draw(100, np.random.default_rng(8)), check(reference, current)
    for result in (whole, check(few, reference)):
        assert result.verdict == "insufficient"
    assert whole.words == "too few rows to tell: 100 current rows, and it takes 500"
    assert check(few, reference).words == "too few rows to tell: 100 reference rows, and it takes 500"
    del current["city"]
    lost = check(reference, current)
    assert (lost.verdict, [one.name for one in lost.columns]) == ("drift", ["city"])
    assert check(reference, {}).verdict == "insufficient"
    assert check_drift({}, {}, [], GATE).verdict == "insufficient"


ODD = {
    "missing": None,
    "text": np.full(1000, "12.5", object),
    "numbers": np.full(1000, 3.0),
    "mixed": np.array(["a", 1.5] * 500, object),
    "bytes": np.full(1000, b"x", object),
    "dates": np.full(1000, np.datetime64("2024-01-01")),
    "all null numbers": np.full(1000, np.nan),
    "all null objects": np.full(1000, None, object),
    "infinite": np.full(1000, np.inf),
    "half infinite": np.array([np.inf, -np.inf, 1.0, 2.0] * 250),
    "constant": np.full(1000, 7.0),
    "huge": 1e308 * np.linspace(-1, 1, 1000),
    "tiny": np.linspace(1e-310, 1e-300, 1000),
    "booleans": np.array([True, False] * 500),
    "integers": np.arange(1000),
    "nullable integers": np.array([1, None] * 500, object),
    "numpy texts": np.array(["city 1", "city 2"] * 500),
    "empty texts": np.full(1000, "", object),
}


@pytest.mark.parametrize("column", ["normal", "city"])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.filterwarnings("error")
def test_whatever_comes_ends_in_a_finding(reference, column, odd):
    current = draw(1000, np.random.default_rng(5))
    current.pop(column)
    if ODD[odd] is not None:
        current[column] = ODD[odd]
    there_and_back = [
        check(reference, current),
        check({**current, column: ODD[odd]}, reference) if odd != "missing" else None,
    ]
    for result in filter(None, there_and_back):
        json.dumps(result.as_dict(), allow_nan=False)
    expected_type = {"text", "mixed", "bytes", "dates"} if column == "normal" else {"mixed", "bytes", "dates"}
    if column == "city":
        expected_type |= {
            "numbers",
            "infinite",
            "half infinite",
            "constant",
            "huge",
            "tiny",
            "booleans",
            "integers",
            "nullable integers",
        }
    else:
        expected_type |= {"numpy texts", "empty texts"}
    reasons = finding(there_and_back[0], column).reasons
    assert reasons, "every one of these differs from the reference"
    assert ("schema" in reasons) == (odd in expected_type | {"missing"})


def test_infinite_numbers_are_named(reference):
    current = draw(1000, np.random.default_rng(5))
    current["skewed"] = np.where(np.arange(1000) % 4, current["skewed"], np.inf)
    assert "250 numbers are infinite" in finding(check(reference, current), "skewed").message


def test_a_constant_that_changes_is_found():
    inputs = [Input("one", "float"), Input("text", "str")]
    for value in (0.0, 2.0):
        before = {"one": np.full(2000, 1.0), "text": np.full(2000, "a", object)}
        after = {"one": np.full(2000, value), "text": np.full(2000, "b", object)}
        assert check_drift(before, before, inputs, GATE).verdict == "ok"
        result = check_drift(before, after, inputs, GATE)
        assert all("distribution" in one.reasons for one in result.columns)
        assert "new_values" in finding(result, "text").reasons


def test_what_is_not_checked_is_said(reference):
    ids = {"id": np.array([f"id {number}" for number in range(8000)], object)}
    current = {**draw(1000, np.random.default_rng(5)), "extra": np.zeros(1000), "id": ids["id"][:1000]}
    result = check_drift({**reference, **ids}, current, [*INPUTS, Input("id", "str"), Input("gone", "float")], GATE)
    assert result.verdict == "ok"
    assert {one.name for one in result.columns} == {"id", *(one.name for one in INPUTS)}, "its presence is checked"
    assert [notice.partition(":")[0] for notice in result.notices] == ["gone", "id", "extra"]


def test_the_profile_is_as_good_as_the_rows(reference):
    kept = ReferenceProfile.model_validate_json(profile(reference, INPUTS).model_dump_json())
    current = draw(3000, np.random.default_rng(3))
    current["normal"] += 10
    assert check(kept, current) == check(reference, current)


def test_messages_hold_no_values(reference):
    current = draw(3000, np.random.default_rng(3))
    current["city"][:400] = "a secret"
    assert "secret" not in json.dumps(check(reference, current).as_dict())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_does_not_matter(seed):
    generator = np.random.default_rng(seed)
    before, after = draw(700, generator), draw(600, generator)
    after["normal"] = after["normal"] + 5

    def shuffled(columns):
        return {name: values[generator.permutation(len(values))] for name, values in columns.items()}

    assert check(before, after) == check(shuffled(before), shuffled(after))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([-8, -1, 0, 3, 10]), st.integers(-1000, 1000))
def test_the_unit_does_not_matter(seed, power, offset):
    """Counts by bin are those of the numbers in another unit; a power of two is exact in floating point."""
    generator = np.random.default_rng(seed)
    before, after = generator.integers(0, 500, 800).astype(float), generator.integers(0, 600, 700).astype(float)
    first = NumericProfile.of(before)
    second = NumericProfile.of(before * 2.0**power + offset)
    assert first.counts == second.counts
    assert first.sample_of(after).counts.tolist() == second.sample_of(after * 2.0**power + offset).counts.tolist()


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, st.integers(0, 60)), hnp.arrays(np.float64, st.integers(0, 60)))
def test_every_row_is_counted_once(before, after):
    one = NumericProfile.of(before)
    counted = one.sample_of(after)
    assert counted.counts.sum() == np.isfinite(after).sum() == counted.values
    assert sum(one.counts) + one.nulls == len(before)
    assert len(counted.counts) == len(one.counts)


def test_single_and_double_precision_are_the_same_numbers():
    """Training sets are read in single precision, a user's file in double: 0.1 of the one is 0.1 of the other."""
    tenths = np.random.default_rng(1).integers(0, 20, 4000) / 10
    inputs = [Input("x", "float")]
    before, after = tenths.astype(np.float32), np.random.default_rng(2).integers(0, 20, 1000) / 10
    known = ReferenceProfile.model_validate_json(profile({"x": before}, inputs).model_dump_json())
    result = check_drift(known, {"x": after}, inputs, GATE)
    assert result.verdict == "ok"
    assert result.columns[0].psi < 0.02
