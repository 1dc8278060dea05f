"""Where reference and current data come from: a user's file, or periods of the training set."""

import gzip
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.health import periods
from proml_kedro.health.periods import History
from proml_kedro.health.read_current import file_fingerprint, read_current
from proml_kedro.models.component import Input
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.monitoring import MonitoringSpec
from proml_kedro.spec.training_set import LABEL, SCORE
from small import fit, make_config, write_training_set

HARDWARE = HardwareSpec(threads=1)
INPUTS = [Input("a.number", "float"), Input("a.text", "str"), Input("a.flag", "bool"), Input("a.gone", "float")]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_is_read_as_it_is(tmp_path, suffix):
    file = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        file.write_text("other,a.number,a.text,a.flag\nx,1.5,7,true\ny,,,\nz,3,8,false\n")
    else:
        table = {
            "other": [1, 2, 3],
            "a.number": [1.5, None, 3],
            "a.text": ["7", None, "8"],
            "a.flag": [True, None, False],
        }
        pq.write_table(pa.table(table), file)
    columns = read_current(file, INPUTS, HARDWARE)
    assert list(columns) == ["a.number", "a.text", "a.flag"]
    assert columns["a.text"].tolist() == ["7", None, "8"]
    np.testing.assert_array_equal(columns["a.number"], [1.5, np.nan, 3])
    np.testing.assert_array_equal(columns["a.flag"], [1, np.nan, 0])


def test_other_types_are_kept_for_the_gate_to_judge(tmp_path):
    table = pa.table(
        {
            "a.number": ["1.5", "x"],
            "a.text": pa.array(["p", None]).dictionary_encode(),
            "a.flag": pa.nulls(2),
            "a.gone": [Decimal("1.5"), None],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    columns = read_current(tmp_path / "rows.parquet", INPUTS, HARDWARE)
    assert columns["a.number"].tolist() == ["1.5", "x"]
    assert columns["a.text"].tolist() == ["p", None]
    assert np.isnan(columns["a.flag"]).all()
    assert columns["a.gone"].dtype == np.float64


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize(
    "cells",
    [
        ["yes", "no", "yes"],
        ["2024-01-01", "2024-01-02", "2024-01-03"],
        ["1.0", "1.10", "007"],
        ["True", "False", "0x1A"],
    ],
)
def test_text_is_read_as_it_is_for_training(tmp_path, suffix, cells):
    lines = ["a.text,a.number", *(f"{one},{number}" for number, one in enumerate(cells))]
    file = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"a.text": cells, "a.number": ["0", "1", "2"]}), file)
    else:
        text = ("\n".join(lines) + "\n").encode()
        file.write_bytes(gzip.compress(text) if suffix == "csv.gz" else text)
    columns = read_current(file, INPUTS, HARDWARE)
    assert columns["a.text"].tolist() == cells, "no new category"
    assert columns["a.number"].tolist() == [0.0, 1.0, 2.0]


def test_days_and_truth_values_are_the_categories_that_training_makes_of_them(tmp_path):
    for values, texts in ([date(2024, 1, 1)], ["2024-01-01"]), ([True], ["true"]):
        pq.write_table(pa.table({"a.text": values}), tmp_path / "rows.parquet")
        assert read_current(tmp_path / "rows.parquet", INPUTS, HARDWARE)["a.text"].tolist() == texts


def test_truth_values_in_words(tmp_path):
    (tmp_path / "rows.csv").write_text("a.flag,a.number\nyes,1\nno,1e3\nTrue,\n0,nan\n")
    columns = read_current(tmp_path / "rows.csv", INPUTS, HARDWARE)
    assert columns["a.flag"].tolist() == [1, 0, 1, 0]
    np.testing.assert_array_equal(columns["a.number"], [1, 1000, np.nan, np.nan])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.parquet", "hello", "cannot read"),
        ("rows.csv", "b,c\n1,2\n", "none of the model's features, such as 'a.number'"),
    ],
)
def test_a_file_that_cannot_be_used_is_the_users_mistake(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=words) as error:
        read_current(tmp_path / name, INPUTS, HARDWARE)
    assert error.value.mistakes[0].key == "monitoring.current.path"
    with pytest.raises(UserError, match="no file"):
        file_fingerprint(tmp_path / "nothing.csv")


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """90 days of 1,500 rows; training ends after 31, validation after 60."""
    file = write_training_set(tmp_path_factory.mktemp("history") / "training_set.parquet")
    return History(file, fit(make_config(), file))


def side(history, **reference):
    return history.sides(MonitoringSpec.model_validate({"reference": reference}))[0]


def test_the_score_is_watched_like_a_column(history):
    whole = side(history, split="train")
    assert [one.name for one in history.inputs][-1] == SCORE
    assert ((whole[SCORE] > 0) & (whole[SCORE] < 1)).all()
    broken = {name: values for name, values in whole.items() if name not in (SCORE, "visit.price")}
    assert SCORE not in history.with_score(broken)
    retyped = {**broken, "visit.price": np.full(len(whole[SCORE]), "x", object)}
    assert SCORE not in history.with_score(retyped)


def test_the_end_of_a_split(history):
    rows = len(side(history, split="train")[SCORE])
    assert rows == 520
    assert len(side(history, split="train", last="3d")[SCORE]) == pytest.approx(3 * rows / 31, abs=1)
    assert len(side(history, split="train", last="999d")[SCORE]) == rows


def test_the_reference_comes_right_before_what_is_current(history):
    """Of 1,500 rows in 90 days the last 7 days are current; the model and labels go with both sides."""
    spec = MonitoringSpec.model_validate({"reference": {"last": "14d"}, "current": {"last": "7d"}})
    reference, current = history.sides(spec)
    assert (len(reference[SCORE]), len(current[SCORE])) == pytest.approx((14 * 1500 / 90, 7 * 1500 / 90), abs=2)
    assert set(np.unique(reference[LABEL])) == {0.0, 1.0}
    whole = history.sides(spec.model_copy(update={"current": spec.current.model_copy(update={"last": None})}))
    moved = history.sides(MonitoringSpec.model_validate({"reference": {"last": "14d", "ago": "30d"}}))[0]
    assert len(moved[SCORE]) == pytest.approx(14 * 1500 / 90, abs=2)
    assert len(whole[1][SCORE]) == pytest.approx(30 * 1500 / 90, abs=20), "all of the test period"
    given = {"visit.price": np.zeros(10)}
    last, same = history.sides(spec, given)
    assert same is given
    np.testing.assert_array_equal(last[SCORE][-len(current[SCORE]) :], current[SCORE])


def test_earlier_periods_are_as_long_as_what_is_compared(history):
    spec = MonitoringSpec.model_validate({"reference": {"split": "train", "last": "14d"}, "current": {"last": "7d"}})
    sizes = [(len(before[SCORE]), len(after[SCORE])) for before, after in history.periods(spec)]
    a_day = 520 / 31
    expected = [(14, 7), (14, 7), (10, 7)]  # the last one reaches the beginning of the data
    assert len(sizes) == len(expected)
    for found, days in zip(sizes, expected, strict=True):
        assert found == pytest.approx([day * a_day for day in days], abs=2)
    too_long = MonitoringSpec.model_validate({"reference": {"split": "train"}, "current": {"last": "30d"}})
    assert list(history.periods(too_long)) == []
    rolling = MonitoringSpec.model_validate({"reference": {"last": "14d"}, "current": {"last": "7d"}})
    assert len(list(history.periods(rolling))) == 10, "of 90 days without the current 7, a week to begin with"


def test_on_demand_features_are_computed_from_what_a_file_has(tmp_path):
    from proml_kedro.models.component import Input
    from proml_kedro.spec.features import FeaturesSpec

    features = FeaturesSpec.model_validate(
        {
            "v": {"source": "request", "features": {"x": {"dtype": "float"}, "s": {"dtype": "str"}}},
            "o": {"source": "on_demand", "features": {"y": {"dtype": "float", "expression": "v.x * length(v.s)"}}},
        }
    )
    inputs = [Input("o.y", "float"), Input("v.x", "float")]
    (tmp_path / "rows.csv").write_text("v.x,v.s\n1.5,ab\n2,\n")
    columns = read_current(tmp_path / "rows.csv", inputs, HARDWARE, features)
    assert set(columns) == {"o.y", "v.x"}
    np.testing.assert_array_equal(columns["o.y"], [3.0, np.nan])
    (tmp_path / "rows.csv").write_text("v.x\n1.5\n")
    assert set(read_current(tmp_path / "rows.csv", inputs, HARDWARE, features)) == {"v.x"}, "v.s is not there"


def test_of_many_rows_a_sample_is_held_and_said(tmp_path, monkeypatch):
    """Whatever is read in parts, and of whatever part: each row is one of the file, with its own score and moment."""
    file = write_training_set(tmp_path / "rows.parquet", rows=8000)
    graph = fit(make_config(), file)
    whole = History(file, graph)
    everything, moments = whole._split(None)
    assert whole.notices == ()
    monkeypatch.setattr(periods, "_CELLS", 3000)
    parts, again = History(file, graph)._split(None)
    for name, values in everything.items():
        np.testing.assert_array_equal(values, parts[name])
    np.testing.assert_array_equal(moments, again)
    monkeypatch.setattr(periods, "MOST_CELLS", 2000 * len(whole.inputs))
    monkeypatch.setattr(periods, "LEAST_ROWS", 10)
    sample = History(file, graph)
    held, when = sample._split(None)
    kept = len(when)
    assert kept == pytest.approx(2000, abs=200)
    assert sample.notices == (f"of 8,000 rows of the training set {kept:,} are compared, a sample",)
    places = np.searchsorted(moments, when)
    assert len(np.unique(moments)) == len(moments), "a moment tells a row"
    for name, values in held.items():
        np.testing.assert_array_equal(values, everything[name][places])
    shares = [np.isin(sample._split(one)[1], whole._split(one)[1]).mean() for one in ("train", "validation", "test")]
    assert shares == [1, 1, 1]
    months = np.histogram(places, 4, (0, 8000))[0]
    assert months.min() > 400, "from everywhere"
    np.testing.assert_array_equal(History(file, graph)._split(None)[1], when)


def test_a_score_that_a_file_has_is_the_one_that_is_judged(tmp_path):
    """It is what was served; the model's own would hide that something else was."""
    training_set = write_training_set(tmp_path / "training_set.parquet", 900)
    past = History(training_set, fit(make_config(), training_set))
    table = pq.read_table(training_set).append_column("score", pa.array(np.full(900, 0.25)))
    pq.write_table(table, tmp_path / "now.parquet")
    inputs = [one for one in past.inputs if one.name != SCORE]
    columns = read_current(tmp_path / "now.parquet", [*inputs, *past.given], HARDWARE)
    assert set(past.with_score(columns)[SCORE]) == {0.25}
    assert LABEL in columns
    own = past.with_score({name: values for name, values in columns.items() if name != SCORE})
    assert len(set(own[SCORE])) > 100
