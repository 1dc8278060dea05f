"""What is learned about inputs, and the matrices made by it, on values small enough to check by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from proml_kedro.models.deep.features_spec import DeepFeaturesSpec
from proml_kedro.models.deep.layout import lay_out
from proml_kedro.models.deep.preprocess import Preprocess
from proml_kedro.models.deep.stand_ins import MetBins
from proml_kedro.models.deep.statistics import MISSING, UNKNOWN, Statistics, learn

DTYPES = {"a.x": "float", "a.home": "str", "a.away": "str"}


def column(*values):
    kind = object if any(isinstance(value, str) for value in values) else np.float32
    return np.array([np.nan if value is None and kind is not object else value for value in values], kind)


def make(columns, dtypes, **features):
    layout = lay_out(DeepFeaturesSpec(**features), dtypes)
    statistics = learn([columns], layout, "model.components.net")
    return layout, statistics, Encoder(layout, statistics)


class Encoder:
    """The two matrices of columns; those that a test leaves out are missing."""

    def __init__(self, layout, statistics):
        self.preprocess = Preprocess(layout, statistics)

    def encode(self, columns):
        rows = len(next(iter(columns.values())))
        filled = {name: np.full(rows, np.nan) for name in self.preprocess.numbers}
        filled |= {name: np.full(rows, None) for name in self.preprocess.texts}
        return self.preprocess.encode(filled | columns)

    def numbers(self, columns):
        return self.encode(columns)[0]

    def ids(self, columns):
        return self.encode(columns)[1]


def test_ids_count_missing_unknown_and_known_categories_by_frequency():
    train = {"a.home": column("Rome", "Bern", "Bern", "Oslo", None)}
    layout, statistics, encoder = make(train, {"a.home": "str"})
    assert list(statistics.vocabularies["a.home"]) == ["Bern", "Oslo", "Rome"]
    assert statistics.size_of(layout.categoricals[0]) == 5
    ids = encoder.ids({"a.home": column(None, "Lima", "Bern", "Oslo", "Rome")})
    assert ids[:, 0].tolist() == [MISSING, UNKNOWN, 2, 3, 4]
    assert ids.dtype == np.int32


def test_rare_categories_are_unknown():
    train = {"a.home": column("Rome", "Bern", "Bern")}
    _, statistics, encoder = make(train, {"a.home": "str"}, min_count=2)
    assert list(statistics.vocabularies["a.home"]) == ["Bern"]
    assert encoder.ids(train)[:, 0].tolist() == [UNKNOWN, 2, 2]


def test_inputs_that_share_a_table_share_its_vocabulary():
    """Each with its own, one id would mean Bern in one column and Rome in the other."""
    train = {"a.home": column("Rome", "Bern", "Rome"), "a.away": column("Oslo", "Rome", None)}
    dtypes = {"a.home": "str", "a.away": "str"}
    layout, statistics, encoder = make(train, dtypes, tables={"places": ["a.*"]})
    assert dict(statistics.vocabularies) == {"places": ["Rome", "Bern", "Oslo"]}
    assert [one.table for one in layout.categoricals] == ["places", "places"]
    assert encoder.ids(train).tolist() == [[2, 4], [3, 2], [2, MISSING]]


def test_numbers_are_standardised_and_missing_ones_marked():
    train = {"a.x": column(1, 3, None, 5)}
    _, statistics, encoder = make(train, {"a.x": "float"})
    assert statistics.scales["a.x"] == pytest.approx([3, np.sqrt(8 / 3)])
    matrix = encoder.numbers({"a.x": column(3, None, 3 + np.sqrt(8 / 3), 1e30, -np.inf)})
    assert matrix.dtype == np.float32
    assert matrix[:, 0] == pytest.approx([0, 0, 1, 10, -10], abs=1e-6)
    assert matrix[:, 1].tolist() == [0, 1, 0, 0, 0]


def test_numbers_by_logarithm_and_by_rank():
    train = {"a.x": column(0, 1, 10, 100, 1000)}
    _, _, log = make(train, {"a.x": "float"}, numeric="log", missing="mean")
    logs = np.log1p(train["a.x"])
    assert log.numbers(train)[:, 0] == pytest.approx((logs - logs.mean()) / logs.std(), abs=1e-5)
    _, _, rank = make(train, {"a.x": "float"}, numeric="quantile", missing="mean")
    assert rank.numbers(train)[:, 0] == pytest.approx([-1, -0.5, 0, 0.5, 1], abs=1e-5)
    assert rank.numbers({"a.x": column(-5, 1e6, None)})[:, 0].tolist() == [-1, 1, 0]


def test_a_number_that_is_mostly_zero_keeps_its_buckets():
    generator = np.random.default_rng(0)
    rain = np.where(generator.random(2000) < 0.95, 0.0, generator.exponential(1, 2000))
    for buckets in (3, 8, 16):
        _, _, encoder = make({"a.x": rain}, {"a.x": "float"}, buckets={"a.x": buckets})
        counts = np.bincount(encoder.ids({"a.x": rain})[:, 0])[2:]
        assert counts[0] == (rain == 0).sum()
        assert len(counts) == buckets
        assert np.ptp(counts[1:]) <= 1
    few = {"a.x": column(0, 0, 0, 1, 2)}
    _, _, encoder = make(few, {"a.x": "float"}, buckets={"a.x": 16})
    assert encoder.ids(few)[:, 0].tolist() == [2, 2, 2, 3, 4]


def test_equal_numbers_have_the_middle_of_their_ranks_and_a_constant_is_0():
    train = {"a.x": column(*([0] * 50), *range(1, 52))}
    _, _, rank = make(train, {"a.x": "float"}, numeric="quantile", missing="mean")
    assert rank.numbers({"a.x": column(0, 51)})[:, 0] == pytest.approx([-0.51, 1], abs=0.02)
    for value in (0.1, 3.3, 1e5):
        train = {"a.x": np.full(7, value)}
        _, _, log = make(train, {"a.x": "float"}, numeric="log", missing="mean")
        assert np.abs(log.numbers(train)).max() < 1e-9


def test_a_weight_of_2_is_the_row_twice():
    generator = np.random.default_rng(1)
    values, weight = generator.normal(size=60), np.resize([1, 2, 0, 3], 60)
    again = np.repeat(values, weight)
    for features in ({}, {"numeric": "quantile"}, {"numeric": "log"}, {"buckets": {"a.x": 5}}):
        layout = lay_out(DeepFeaturesSpec(**features), {"a.x": "float"})
        heavy, twice = learn([{"a.x": values}], layout, "m", weight), learn([{"a.x": again}], layout, "m")
        for name in ("scales", "bounds"):
            assert getattr(heavy, name).get("a.x", []) == pytest.approx(getattr(twice, name).get("a.x", []))


def test_buckets_hold_equal_counts_and_nothing_has_its_own():
    train = {"a.x": column(*range(1, 101), None)}
    layout, statistics, encoder = make(train, {"a.x": "float"}, buckets={"a.x": 4})
    ids = encoder.ids(train)[:, 0]
    assert np.bincount(ids).tolist() == [1, 0, 25, 25, 25, 25]
    assert encoder.ids({"a.x": column(None, -1e30, 1e30)})[:, 0].tolist() == [MISSING, 2, 5]
    assert statistics.size_of(layout.categoricals[0]) == 6


def test_what_was_never_missing_is_as_the_median_or_the_mean_or_unknown_when_it_is():
    """The vectors and weights of missing values are as they were drawn: no example has trained them."""
    train = {"a.x": column(*range(1, 101)), "a.y": column(1, 3, *[2] * 98), "a.home": column(*["Rome", "Bern"] * 50)}
    dtypes = {"a.x": "float", "a.y": "float", "a.home": "str"}
    features = {"buckets": {"a.x": 4}, "crosses": {"both": {"of": ["a.x", "a.home"], "buckets": 50}}}
    _, _, encoder = make(train, dtypes, **features)
    nothing = {name: column(None) for name in ("a.x", "a.y")} | {"a.home": np.array([None])}
    assert encoder.numbers(nothing).tolist() == [[0, 0]]
    assert encoder.ids(nothing).tolist() == [[3, UNKNOWN, UNKNOWN]]
    sometimes = {name: np.append(values, nothing[name]) for name, values in train.items()}
    _, _, encoder = make(sometimes, dtypes, **features)
    assert encoder.numbers(nothing).tolist() == [[0, 1]]
    assert encoder.ids(nothing).tolist() == [[MISSING, MISSING, MISSING]]


def test_bins_that_no_hash_of_training_fell_into_are_unknown():
    dtypes, features = {"a.home": "str"}, {"hash": {"a.home": 1000}}
    known = np.array([f"town{one}" for one in range(40)] + [None], object)
    layout, statistics, encoder = make({"a.home": known}, dtypes, **features)
    bins = MetBins(layout)
    for part in (known[:10], known[5:]):
        bins.add(encoder.ids({"a.home": part}))
    sure = Encoder(layout, replace(statistics, met=bins.tables()))
    fresh = np.array([f"village{one}" for one in range(2000)], object)
    assert np.array_equal(sure.ids({"a.home": known}), encoder.ids({"a.home": known}))
    before, after = encoder.ids({"a.home": fresh})[:, 0], sure.ids({"a.home": fresh})[:, 0]
    trained = np.isin(before, encoder.ids({"a.home": known}))
    assert 0 < trained.sum() < 200
    assert np.array_equal(after, np.where(trained, before, UNKNOWN))


@pytest.mark.parametrize("values", [[7, 7, 7], [None, None, None]])
@pytest.mark.parametrize("features", [{"buckets": {"*": 5}}, {"numeric": "quantile"}, {"numeric": "log"}, {}])
def test_a_number_that_says_nothing_is_harmless(values, features):
    train = {"a.x": column(*values).astype(np.float32)}
    _, _, encoder = make(train, {"a.x": "float"}, **features)
    other = {"a.x": column(None, 7, 8, 1e30)}
    assert np.isfinite(encoder.numbers(other)).all()
    assert (encoder.ids(other) <= 3).all()


def test_statistics_survive_json():
    train = {"a.x": column(1, 2, 4), "a.home": column("a", "b", "b"), "a.away": column("c", None, "b")}
    layout, statistics, encoder = make(train, DTYPES, buckets={"a.x": 2})
    again = Encoder(layout, Statistics(**json.loads(json.dumps(statistics.as_json()))))
    assert (again.ids(train) == encoder.ids(train)).all()
    assert (again.numbers(train) == encoder.numbers(train)).all()


def test_of_two_patterns_the_last_that_matches_holds():
    layout = lay_out(DeepFeaturesSpec(embed={"*": 8, "a.away": 4}, numeric={"b.*": "log"}), DTYPES)
    assert {one.name: one.dimension for one in layout.categoricals} == {"a.home": 8, "a.away": 4}
    assert layout.numbers[0].scaling == "standardize"
