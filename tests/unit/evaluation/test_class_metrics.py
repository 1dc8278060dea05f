"""Metrics of classes against scikit-learn's, on random cases with weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn

from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rows import ModelScores, ScoredRows

CASES = [(seed, classes) for seed in range(8) for classes in (2, 3, 11)]


def case(seed, classes, rows=300):
    generator = np.random.default_rng(seed)
    score = generator.dirichlet(np.full(classes, 0.4), rows)
    label = generator.integers(0, classes, rows)
    label[:classes] = np.arange(classes)
    weight = generator.exponential(2.0, rows) if seed % 2 else np.ones(rows)
    return label, score, weight


@pytest.mark.parametrize(("seed", "classes"), CASES)
def test_every_metric_is_that_of_scikit_learn(seed, classes):
    label, score, weight = case(seed, classes)
    said, every = score.argmax(axis=1), np.arange(classes)
    area = [sklearn.roc_auc_score(label == one, score[:, one], sample_weight=weight) for one in every]
    if classes > 2:
        whole = sklearn.roc_auc_score(label, score, multi_class="ovr", average="macro")
        assert Predictions(label, score).measure(["ovr_auc"])["ovr_auc"] == pytest.approx(whole, abs=1e-9)
    expected = {
        "accuracy": sklearn.accuracy_score(label, said, sample_weight=weight),
        "macro_f1": sklearn.f1_score(label, said, average="macro", sample_weight=weight),
        "weighted_f1": sklearn.f1_score(label, said, average="weighted", sample_weight=weight),
        "logloss": sklearn.log_loss(label, np.clip(score, 1e-15, 1), sample_weight=weight, labels=every),
        "ovr_auc": float(np.mean(area)),
        "class_distance": sklearn.mean_absolute_error(label, said, sample_weight=weight),
        "quadratic_kappa": sklearn.cohen_kappa_score(label, said, weights="quadratic", sample_weight=weight),
    }
    for k in (2, 3, 5):
        if classes > 2:
            top = sklearn.top_k_accuracy_score(label, score, k=min(k, classes), sample_weight=weight, labels=every)
            expected[f"top{k}_accuracy"] = top
    found = Predictions(label, score).measure(list(expected), weight)
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_squared_calibration_error_of_classes_is_the_mean_of_each_ones():
    label, score, _ = case(3, 4, rows=1200)
    clusters = np.arange(1200) % 40
    whole = Predictions(label, score, clusters)
    each = [Predictions(label == one, score[:, one], clusters) for one in range(4)]
    squares = [one.estimate("calibration_error") for one in each]
    assert whole.estimate("calibration_error") == pytest.approx(np.mean(squares), abs=1e-12)
    without = np.mean([one.without_each("calibration_error") for one in each], axis=0)
    assert whole.without_each("calibration_error") == pytest.approx(without, abs=1e-12)
    figure = whole.measure(["calibration_error"])["calibration_error"]
    assert figure == pytest.approx(np.sign(np.mean(squares)) * np.sqrt(abs(np.mean(squares))), abs=1e-12)


def test_of_two_classes_each_is_as_wrong_as_the_other():
    label, score, _ = case(4, 2, rows=600)
    other = np.stack([np.roll(score[:, 1], 1), np.roll(score[:, 0], 1)], axis=1)
    clusters = np.arange(600) % 30
    two = [Predictions(label, one, clusters) for one in (score, other)]
    one = [Predictions(label, one[:, 1], clusters) for one in (score, other)]
    for name in ("calibration_error", "logloss"):
        assert two[0].estimate(name) == pytest.approx(one[0].estimate(name), abs=1e-12)
        assert two[0].without_each(name) == pytest.approx(one[0].without_each(name), abs=1e-12)
        assert two[0].excess(name, two[1]) == pytest.approx(one[0].excess(name, one[1]), abs=1e-12)


def test_a_class_that_no_row_has_is_not_counted_and_has_no_area():
    label, score = (
        np.array([0, 1, 1, 0]),
        np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1]]),
    )
    found = Predictions(label, score).measure(["macro_f1", "ovr_auc"])
    assert found["macro_f1"] == pytest.approx(sklearn.f1_score(label, score.argmax(axis=1), average="macro"))
    assert np.isnan(found["ovr_auc"])


def test_shares_of_classes_are_told():
    rows = ScoredRows(np.array([0.0, 2.0, 2.0, 2.0]), ModelScores("m", np.eye(4)[:, :3]), classes=("a", "b", "c"))
    assert rows.class_shares() == {"a": 0.25, "b": 0.0, "c": 0.75}
