"""Equal models are called different as often as the level says, and intervals hold the truth as often as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from equal_models import NAMES, RANKING, SPEC, rows_of_equal_models
from proml_kedro.evaluation import compare
from proml_kedro.evaluation.calibration import BINS, bins_of_equal_weight, bins_with_clusters
from proml_kedro.evaluation.metric import Metric
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rows import ModelScores, ScoredRows, Slice
from proml_kedro.evaluation.significance import holm
from proml_kedro.extensions import metrics
from proml_kedro.spec import EvaluationSpec

WORLDS = [(clusters, likeness) for clusters in (12, 20, 90, 400) for likeness in (0.0, 0.1)]


def comparisons_of_equal_models(clusters, likeness, repetitions, lists=4):
    """P-values, whether intervals hold 0, and adjusted p-values; each of shape (repetitions, metrics)."""
    generator = np.random.default_rng(clusters)
    found = [
        compare.evaluate(rows_of_equal_models(generator, clusters, likeness, lists), SPEC, RANKING).differences.values()
        for _ in range(repetitions)
    ]
    table = np.array([[(one.p_value, one.low <= 0 <= one.high, one.p_adjusted) for one in of] for of in found])
    return table[:, :, 0], table[:, :, 1], table[:, :, 2]


@pytest.mark.slow
def test_equal_models_are_called_different_in_5_percent_of_comparisons():
    """By world within four standard errors of 5 %, and over all worlds between 3 and 7 %; percentiles gave up to 12."""
    p, covered, adjusted = (
        np.array(parts)
        for parts in zip(
            *(comparisons_of_equal_models(*one, 200, 2 if one[0] == 400 else 4) for one in WORLDS), strict=True
        )
    )
    rejected = (p < 0.05).mean(axis=1)
    assert (rejected < 0.05 + 4 * 0.0154).all(), rejected
    assert ((rejected.mean(axis=0) > 0.03) & (rejected.mean(axis=0) < 0.07)).all(), rejected.mean(axis=0)
    assert ((covered.mean(axis=(0, 1)) > 0.93) & (covered.mean(axis=(0, 1)) < 0.97)).all()
    assert (adjusted < 0.05).any(axis=2).mean() < 0.05, "a whole table of equal models"


@pytest.mark.slow
def test_of_whole_tables_of_equal_models_5_percent_claim_anything():
    """Five metrics and ten slices, which have 15 p-values."""
    generator, claims = np.random.default_rng(6), []
    for _ in range(200):
        rows = rows_of_equal_models(generator, 40, 0.1)
        parts = np.arange(len(rows.label)) % 10
        slices = [Slice("part", str(one), parts == one) for one in range(10)]
        result = compare.evaluate(replace(rows, slices=slices), SPEC, RANKING)
        differences = [*result.differences.values(), *(one.difference for one in result.slices)]
        assert len(differences) == 15
        claims.append(min(one.p_adjusted for one in differences if not np.isnan(one.p_adjusted)) < 0.05)
    assert np.mean(claims) < 0.05 + 3 * 0.0154


@pytest.mark.soak
@pytest.mark.parametrize(("clusters", "likeness"), WORLDS)
def test_equal_models_are_called_different_in_5_percent_of_comparisons_everywhere(clusters, likeness):
    p, covered, adjusted = comparisons_of_equal_models(clusters, likeness, 2000)
    rejected, covered = (p < 0.05).mean(axis=0), covered.mean(axis=0)
    # The variance of the calibration error that pairs of clusters add is told a little too large from 12 of them.
    least = np.where((np.array(NAMES) == "calibration_error") & (clusters == 12), 0.02, 0.03)
    assert ((rejected >= least) & (rejected <= 0.07)).all(), rejected
    assert ((covered >= 0.93) & (covered <= 1 - least)).all(), covered
    assert (adjusted < 0.05).any(axis=1).mean() <= 0.05


def powered(probability, exponent):
    return ModelScores(f"^{exponent}", probability**exponent)


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), [(0.83, 1.0), (0.83, 0.91), (0.7, 0.9)])
@pytest.mark.parametrize("clusters", [20, 90])
def test_intervals_of_calibration_errors_hold_the_true_difference(one, other, clusters):
    """As far as it is off, so much is each probability raised; the mean gap's interval held the truth in 0 of 100."""
    generator = np.random.default_rng(clusters)
    many = generator.beta(1, 3, 1_000_000)
    squares = [np.mean((many - many**by) ** 2) for by in (one, other)]
    truth = np.subtract(*np.sqrt(squares))
    spec, held, found = EvaluationSpec.model_validate({"metrics": ["calibration_error"]}), 0, []
    for _ in range(300):
        probability = generator.beta(1, 3, clusters * 30)
        label = (generator.random(len(probability)) < probability).astype(float)
        days = np.arange(len(probability)) % clusters
        rows = ScoredRows(label, powered(probability, one), powered(probability, other), clusters=days)
        result = compare.evaluate(rows, spec)
        difference = result.differences["calibration_error"]
        held += difference.low <= truth <= difference.high
        roots = [by["calibration_error"] for by in (result.candidate, result.baseline)]
        found.append(np.subtract(*np.copysign(np.square(roots), roots)))
    assert 0.95 - 4 * 0.0126 < held / 300 <= 1
    # The squares have no bias but for what 15 bins do not tell apart; roots near 0 are low by chance.
    assert np.mean(found) == pytest.approx(np.subtract(*squares), abs=4 * np.std(found) / np.sqrt(300) + 0.0001)


@pytest.mark.parametrize("deviation", [0.7, 1.2])
def test_clusters_of_uneven_size_are_no_surer(deviation):
    """Degrees of freedom by the number of clusters would reject 9 % of equal models here."""
    generator = np.random.default_rng(5)
    rejected = []
    for _ in range(1000):
        sizes = np.maximum(1, 20 * np.exp(deviation * generator.normal(size=12))).astype(int)
        days = np.repeat(np.arange(12), sizes)
        shared = generator.normal(size=(2, 12))[:, days] * 0.5
        label = generator.normal(size=len(days))
        first, second = (ModelScores("", one) for one in label + shared + generator.normal(size=(2, len(days))))
        spec = EvaluationSpec.model_validate({"metrics": ["mae"]})
        rows = ScoredRows(label, first, second, "regression", days)
        one = compare.evaluate(rows, spec).differences["mae"]
        rejected.append(one.p_value < 0.05)
        assert one.reason == "" or "uneven weight" in one.reason
    assert np.mean(rejected) < 0.05 + 3 * 0.0069


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([500], "one cluster"),
        ([100] * 2, "2 clusters; it takes 5"),
        ([100] * 4, "4 clusters; it takes 5"),
        ([100] * 5, ""),
        ([5000] + [10] * 20, "21 clusters of uneven weight, as good as 1.1; it takes 5"),
    ],
)
def test_too_few_clusters_claim_nothing_and_say_so(sizes, words):
    days = np.repeat(np.arange(len(sizes)), sizes)
    label, score = np.random.default_rng(0).normal(size=(2, len(days)))
    rows = ScoredRows(label, ModelScores("one", score), ModelScores("other", score + 1), "regression", days)
    one = compare.evaluate(rows, EvaluationSpec.model_validate({"metrics": ["rmse"]})).differences["rmse"]
    assert one.reason == words
    assert np.isnan([one.low, one.p_value, one.p_adjusted]).all() == bool(words)
    assert one.difference < 0


def test_an_order_is_as_sure_as_its_rarer_class():
    """Of 400 days 3 have a positive row: whatever else is known, that is three times the same thing."""
    generator = np.random.default_rng(1)
    label = np.zeros(4000)
    label[[3, 1000, 2000]] = 1
    rows = ScoredRows(
        label, ModelScores("a", generator.random(4000)), ModelScores("b", generator.random(4000)),
        clusters=np.arange(4000) // 10,
    )  # fmt: skip
    found = compare.evaluate(rows, EvaluationSpec.model_validate({"metrics": ["auc", "brier"]})).differences
    assert "400 clusters of uneven weight, as good as 3.0" in found["auc"].reason
    assert found["brier"].reason == ""


class Median(Metric):
    """Median absolute error, which nothing but computing it again tells without a cluster."""

    tasks = ("regression",)
    higher_is_better = False
    meaning = "median absolute error"

    def compute(self, label, score, weight):
        error = np.abs(score - label)
        order = np.argsort(error)
        return float(error[order][np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)])


@pytest.mark.parametrize("clusters", [150, 250])
def test_a_metric_without_a_shortcut_is_computed_without_each_cluster_or_drawn(clusters):
    """Both ways agree with how the difference varies from sample to sample."""
    generator = np.random.default_rng(0)
    with metrics.temporary("median", Median):
        spec = EvaluationSpec.model_validate({"metrics": ["median"]})
        found = []
        for _ in range(30):
            days = np.repeat(np.arange(clusters), 4)
            label, first, second = generator.normal(size=(3, len(days)))
            models = ModelScores("a", label + first), ModelScores("b", label + 1.1 * second)
            found.append(compare.evaluate(ScoredRows(label, *models, "regression", days), spec).differences["median"])
    spread = np.std([one.difference for one in found], ddof=1)
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.35)
    assert np.mean([one.p_value < 0.01 for one in found]) > 0.1, "samples can show a p-value below .01"


def test_a_shortcut_gives_what_the_long_way_does():
    rows = rows_of_equal_models(np.random.default_rng(2), 30, 0.1)
    spec = EvaluationSpec.model_validate({"metrics": ["auc", "logloss", "brier"]})
    fast = compare.evaluate(rows, spec).differences
    slow = {name: type(name, (metrics.get(name),), {"without_each": Metric.without_each}) for name in fast}
    for name, kind in slow.items():
        with metrics.temporary("long_way", kind):
            long = compare.evaluate(rows, EvaluationSpec.model_validate({"metrics": ["long_way"]}))
        assert long.differences["long_way"].standard_error == pytest.approx(fast[name].standard_error, rel=1e-9)


def calibration_by_definition(score, gap, cluster, bin_of):
    """Squared error over given bins, less the variance of each bin's mean gap between clusters."""
    total = 0.0
    for one in np.unique(bin_of):
        here = bin_of == one
        mass, mean = here.sum(), gap[here].mean()
        sums = [(gap[here & (cluster == c)] - mean).sum() for c in np.unique(cluster[here])]
        shares = [(here & (cluster == c)).sum() / mass for c in np.unique(cluster[here])]
        total += mass * (mean**2 - np.square(sums).sum() / mass**2 / (1 - np.square(shares).sum()))
    return total / len(score)


def test_the_calibration_error_without_each_cluster_is_as_defined():
    generator = np.random.default_rng(3)
    score = np.sort(generator.random(700).round(2))
    label, cluster = (generator.random(700) < score).astype(float), generator.integers(0, 9, 700)
    bins = bins_with_clusters(bins_of_equal_weight(score, np.ones(700)), cluster)
    model = Predictions(label, score, cluster)
    assert len(np.unique(bins)) == BINS
    assert model.estimate("calibration_error") == pytest.approx(
        calibration_by_definition(score, score - label, cluster, bins), abs=1e-12
    )
    for one, found in enumerate(model.without_each("calibration_error")):
        left = cluster != one
        expected = calibration_by_definition(score[left], (score - label)[left], cluster[left], bins[left])
        assert found == pytest.approx(expected, abs=1e-12)


def test_bins_have_rows_of_three_clusters():
    """Scores that are known from the cluster: a bin of one cluster could not tell an error from that cluster's luck."""
    cluster = np.repeat(np.arange(10), 30)
    bins = bins_with_clusters(bins_of_equal_weight(cluster / 10, np.ones(300)), cluster)
    assert [len(np.unique(cluster[bins == one])) for one in np.unique(bins)] == [3, 3, 4]
    assert bins_with_clusters(np.zeros(5, int), np.array([0, 0, 1, 1, 1])) is None


@pytest.mark.parametrize("exponents", [(0.7, 0.9), (0.8, 1.0), (1.0, 0.85)])
def test_the_difference_is_that_of_the_figures_that_are_shown(exponents):
    """Of roots of squares too, one of which may be below 0; and its interval holds 0 when the p-value is large."""
    generator = np.random.default_rng(8)
    for _ in range(20):
        probability = generator.beta(1, 3, 1500)
        label = (generator.random(1500) < probability).astype(float)
        models = [powered(probability, one) for one in exponents]
        result = compare.evaluate(ScoredRows(label, *models, clusters=np.arange(1500) % 30), SPEC)
        for name, one in result.differences.items():
            assert one.difference == pytest.approx(result.candidate[name] - result.baseline[name], abs=1e-12), name
            assert (one.low <= 0 <= one.high) == (one.p_value >= 0.05)


def test_rounding_is_no_difference():
    generator = np.random.default_rng(4)
    score = generator.random(400)
    label = (generator.random(400) < score).astype(float)
    rows = ScoredRows(label, ModelScores("a", score), ModelScores("b", score * (1 + 1e-15)))
    for one in compare.evaluate(rows, SPEC).differences.values():
        assert (one.difference, one.p_value) == (0.0, 1.0)


def test_adjusted_p_values_are_those_of_holm():
    """As R's p.adjust gives them."""
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([0.6, float("nan"), 0.3]) == pytest.approx([0.6, float("nan"), 0.6], nan_ok=True)
    assert holm([]) == []
