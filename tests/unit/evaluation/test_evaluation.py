"""Metrics equal scikit-learn's, and differences are as sure as they should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    mean_poisson_deviance,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from proml_kedro.evaluation import compare
from proml_kedro.evaluation.calibration import bins_of_equal_weight
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rows import Grouping, ModelScores, ScoredRows
from proml_kedro.spec import EvaluationSpec
from proml_kedro.spec.evaluation import RankingSpec

REFERENCE = {
    "auc": roc_auc_score,
    "average_precision": average_precision_score,
    "logloss": log_loss,
    "brier": brier_score_loss,
}


OF_NUMBERS = {
    "rmse": root_mean_squared_error,
    "mae": mean_absolute_error,
    "r2": r2_score,
    "poisson_deviance": mean_poisson_deviance,
}


def sample(rows, seed=0, ties=False):
    generator = np.random.default_rng(seed)
    probability = generator.uniform(0.01, 0.99, rows)
    if ties:
        probability = probability.round(1).clip(0.05, 0.95)
    return (generator.random(rows) < probability).astype(float), probability


@pytest.mark.parametrize("name", sorted(REFERENCE))
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_scikit_learn(name, ties):
    label, probability = sample(3000, ties=ties)
    weight = np.random.default_rng(1).integers(0, 4, 3000).astype(float)
    judged = Predictions(label, probability)
    assert judged.measure([name])[name] == pytest.approx(REFERENCE[name](label, probability), rel=1e-9)
    weighted = REFERENCE[name](label, probability, sample_weight=weight)
    assert judged.measure([name], weight)[name] == pytest.approx(weighted, rel=1e-9)


@pytest.mark.parametrize("name", sorted(OF_NUMBERS))
def test_metrics_of_numbers_equal_scikit_learn(name):
    generator = np.random.default_rng(2)
    mean = generator.gamma(2.0, 1.0, 2000)
    label, weight = generator.poisson(mean).astype(float), generator.integers(0, 4, 2000).astype(float)
    score = mean * generator.uniform(0.7, 1.4, 2000)
    judged = Predictions(label, score)
    assert judged.measure([name])[name] == pytest.approx(OF_NUMBERS[name](label, score), rel=1e-9)
    expected = OF_NUMBERS[name](label, score, sample_weight=weight)
    assert judged.measure([name], weight)[name] == pytest.approx(expected, rel=1e-9)


def test_labels_that_are_all_equal_have_no_variance_to_explain():
    assert np.isnan(Predictions(np.ones(5), np.linspace(0, 1, 5)).measure(["r2"])["r2"])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000))
def test_a_weight_of_two_is_the_row_twice(rows, seed):
    label, probability = sample(rows, seed, ties=True)
    weight = np.random.default_rng(seed).integers(1, 3, rows)
    twice = np.repeat(np.arange(rows), weight)
    for name in ("auc", "average_precision", "logloss", "brier"):
        weighted = Predictions(label, probability).measure([name], weight.astype(float))[name]
        repeated = Predictions(label[twice], probability[twice]).measure([name])[name]
        assert weighted == pytest.approx(repeated, nan_ok=True)


def test_one_class_has_no_auc():
    assert np.isnan(Predictions(np.ones(5), np.linspace(0, 1, 5)).measure(["auc"])["auc"])
    assert np.isnan(Predictions(np.zeros(5), np.linspace(0, 1, 5)).measure(["average_precision"])["average_precision"])


def calibration_error(label, score):
    return Predictions(label, score).measure(["calibration_error"])["calibration_error"]


def test_calibration_error_is_the_gap():
    label, probability = sample(60_000)
    assert calibration_error(label, probability) < 0.01
    assert calibration_error(label, np.clip(probability + 0.1, 0, 1)) == pytest.approx(0.1, abs=0.01)


def test_the_calibration_error_of_perfect_probabilities_is_as_often_below_0_as_above():
    """Their mean gap over bins is .065 at 300 rows; the square of the gap, less noise, is 0 on average."""
    squares = [
        (lambda error: np.copysign(error**2, error))(calibration_error(*sample(300, seed))) for seed in range(400)
    ]
    assert abs(np.mean(squares)) < 4 * np.std(squares) / 20
    assert 0.35 < np.mean(np.array(squares) < 0) < 0.75


def test_rows_with_equal_scores_are_one_bin_of_the_calibration_error():
    """As every row has the score .5 and half of them are positive, nothing is wrong, in whatever order they come."""
    flat = [calibration_error(label, [0.5] * 100) for label in ([0] * 50 + [1] * 50, [1] * 50 + [0] * 50, [0, 1] * 50)]
    assert flat == [flat[0]] * 3
    assert flat[0] < 0, "no gap, and so less than chance would make"
    score = np.repeat([0.1, 0.2, 0.7, 0.9], 10)
    label = np.array([1] + [0] * 9 + [1] * 4 + [0] * 6 + [1] * 7 + [0] * 3 + [1] * 8 + [0] * 2, float)
    bin_of = bins_of_equal_weight(score, np.ones(40))
    gaps = np.bincount(bin_of, score - label)
    assert np.abs(gaps).sum() / 40 == pytest.approx(0.075)
    of_bins = [(score[bin_of == one] - label[bin_of == one]) for one in np.unique(bin_of)]
    square = np.mean([gap.mean() ** 2 - gap.var(ddof=1) / len(gap) for gap in of_bins])
    assert calibration_error(label, score) == pytest.approx(np.copysign(np.sqrt(abs(square)), square))


def evaluate(label, candidate, baseline, clusters, spec, seed=0, task="binary", orders=None):
    """Evaluate plain arrays; ``orders`` are ranking metrics, groups, and what both models order by."""
    names, groups, ours, theirs = orders or ([], None, None, None)
    rows = ScoredRows(
        label,
        ModelScores("ours", candidate, ours),
        None if baseline is None else ModelScores("theirs", baseline, theirs),
        task,
        clusters,
        grouping=Grouping("list", groups) if orders else None,
    )
    ranking = RankingSpec.model_validate({"metrics": names}) if orders else None
    return compare.evaluate(rows, spec, ranking, seed)


def spec(**compare):
    return EvaluationSpec.model_validate({"metrics": ["auc", "logloss"], "compare": compare})


def test_a_better_model_is_found_and_an_equal_one_is_not():
    label, probability = sample(4000)
    noisy = np.clip(probability + np.random.default_rng(5).normal(0, 0.25, 4000), 0.01, 0.99)
    better = evaluate(label, probability, noisy, None, spec()).differences["auc"]
    assert better.low > 0
    assert better.p_value < 0.02
    same = evaluate(label, noisy, noisy, None, spec()).differences["auc"]
    assert same.difference == same.low == same.high == 0
    assert same.p_value == 1


def delong_standard_error(label, one, other):
    """Of a difference in AUC (DeLong, DeLong and Clarke-Pearson 1988), from its definition."""

    def placements(score):
        wins = 0.5 + 0.5 * np.sign(score[label == 1][:, None] - score[label == 0][None, :])
        return wins.mean(axis=1), wins.mean(axis=0)

    (pos_a, neg_a), (pos_b, neg_b) = placements(one), placements(other)
    return np.sqrt(np.var(pos_a - pos_b, ddof=1) / len(pos_a) + np.var(neg_a - neg_b, ddof=1) / len(neg_a))


def test_the_jackknife_of_rows_agrees_with_delong():
    label, probability = sample(3000)
    noisy = np.clip(probability + np.random.default_rng(5).normal(0, 0.2, 3000), 0.01, 0.99)
    found = evaluate(label, probability, noisy, None, spec()).differences["auc"].standard_error
    assert found == pytest.approx(delong_standard_error(label, probability, noisy), rel=0.001)


def test_rows_that_move_together_make_the_interval_wider():
    generator = np.random.default_rng(3)
    days = np.repeat(np.arange(60), 100)
    shock = generator.normal(0, 1.5, 60)[days]
    label = (generator.random(6000) < 1 / (1 + np.exp(-shock))).astype(float)
    blind, knowing = np.full(6000, 0.5), np.clip(0.5 + 0.15 * shock, 0.05, 0.95)
    by_row = evaluate(label, knowing, blind, None, spec()).differences["logloss"]
    by_day = evaluate(label, knowing, blind, days, spec()).differences["logloss"]
    assert by_day.standard_error > 2 * by_row.standard_error


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """An interval of 90 % for a known difference, over many samples; the bound is three standard errors wide."""
    covered = 0
    for seed in range(60):
        label, probability = sample(400, seed)
        shifted = np.clip(probability + 0.1, 0.01, 0.99)
        clear = evaluate(label, shifted, probability, None, spec(confidence=0.9)).differences["logloss"]
        covered += clear.low <= TRUE_LOSS_OF_SHIFT <= clear.high
    assert 0.9 - 3 * 0.039 <= covered / 60 <= 1


def _expected_loss(shift):
    p = np.linspace(0.01, 0.99, 200_001)
    q = np.clip(p + shift, 0.01, 0.99)
    return float(np.mean(-(p * np.log(q) + (1 - p) * np.log(1 - q))))


TRUE_LOSS_OF_SHIFT = _expected_loss(0.1) - _expected_loss(0.0)


def test_the_result_is_plain_and_repeatable():
    import json

    label, probability = sample(500)
    first = evaluate(label, probability, probability[::-1], None, spec(), seed=4)
    assert first == evaluate(label, probability, probability[::-1], None, spec(), seed=4)
    assert json.loads(json.dumps(first.as_dict()))["clusters"] == 500
    assert evaluate(label, probability, None, None, spec()).differences == {}


def test_a_single_cluster_gives_no_interval():
    import json

    label, probability = sample(500)
    result = evaluate(label, probability, probability[::-1], np.zeros(500), spec())
    assert result.differences["auc"].difference > 0
    assert np.isnan([result.differences["auc"].low, result.differences["auc"].p_value]).all()
    content = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert content["differences"]["auc"]["low"] is None


def test_rows_of_one_class_give_plain_json():
    import json

    _, probability = sample(50)
    result = evaluate(np.zeros(50), probability, probability[::-1], None, spec())
    content = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert content["candidate"]["auc"] is None
    assert content["candidate"]["logloss"] > 0


def test_each_task_has_metrics_of_its_own():
    generator = np.random.default_rng(0)
    label = generator.poisson(3.0, 400).astype(float)
    better, worse = label + generator.normal(0, 0.5, 400), np.full(400, 3.0)
    plain = EvaluationSpec.model_validate({})
    numbers = evaluate(label, better, worse, None, plain, task="regression")
    assert list(numbers.candidate) == ["rmse", "mae", "r2", "calibration_error"]
    assert numbers.differences["rmse"].high < 0
    assert (numbers.positive_rate, numbers.label_mean) == (None, label.mean())
    assert "poisson_deviance" in evaluate(label, better.clip(0.1), None, None, plain, task="count").candidate
    assert "auc" in evaluate(label > 3, better, None, None, plain).candidate


def ranked(clusters, groups, rows=6000):
    """A model that knows half of what there is to know of each row, against one that knows nothing."""
    generator = np.random.default_rng(1)
    known = generator.normal(0, 1, rows)
    label = (generator.random(rows) < 1 / (1 + np.exp(2 - known))).astype(float)
    orders = (["mrr", "ndcg@5"], groups, known, generator.random(rows))
    flat = np.full(rows, label.mean())
    return evaluate(label, flat, flat, clusters, spec(cluster_by="day"), orders=orders)


def test_orders_are_compared_beside_predictions_and_drawn_with_their_cluster():
    groups = np.arange(6000) // 10
    result = ranked(groups // 30, groups)
    assert list(result.candidate) == ["auc", "logloss", "mrr", "ndcg@5"]
    assert result.differences["ndcg@5"].low > 0
    assert result.candidate["auc"] == 0.5, "the scores to order by are others than those that predict"
    assert (result.ranking.groups, result.ranking.drawn_by) == (600, "day")
    assert 0 < result.ranking.without_positive < 300
    assert result.as_dict()["ranking"]["within"] == "list"


def test_groups_that_lie_in_several_clusters_are_drawn_themselves():
    across = ranked(np.arange(6000) % 20, np.arange(6000) // 10)
    assert across.ranking.drawn_by == "list"
    assert np.isfinite(across.differences["mrr"].low)


def test_orders_of_one_cluster_are_as_sure_as_their_cluster():
    """Groups of one cluster share the model's luck there: drawn together, the interval is wider."""
    generator = np.random.default_rng(3)
    days, groups = np.repeat(np.arange(40), 200), np.arange(8000) // 5
    luck = generator.choice([-1.0, 1.0], 40)[days]
    label = (np.arange(8000) % 5 == 0).astype(float)
    orders = (["mrr"], groups, luck * label + generator.normal(0, 0.2, 8000), generator.random(8000))
    flat = np.full(8000, 0.2)
    errors = [
        evaluate(label, flat, flat, clusters, spec(cluster_by=by), orders=orders).differences["mrr"].standard_error
        for clusters, by in ((days, "day"), (groups, "group"))
    ]
    assert errors[0] > 3 * errors[1]
