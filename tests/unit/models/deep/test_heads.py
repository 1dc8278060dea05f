"""Each loss and each metric against its definition, written out in NumPy or taken from scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import log_loss, mean_pinball_loss, mean_poisson_deviance, ndcg_score, roc_auc_score

from proml_kedro.extensions import heads
from proml_kedro.models.deep import metrics

NAN = np.nan


def make(**config):
    return heads.get(config["loss"]).model_validate({"of": "x", **config})


def loss(head, label, margin, weight=None, learned=None):
    label, margin = np.asarray(label, np.float64), np.asarray(margin, np.float32)
    known = label[~np.isnan(label)]
    learned = head.begin(known, np.ones(len(known)))[1] if learned is None else learned
    label = np.asarray(label - head.origin(learned), np.float32)
    weight = np.ones_like(label) if weight is None else np.asarray(weight, np.float32)
    return float(head.loss_of(label, margin, weight, learned))


def outputs(head, margin, learned):
    found = head.finish(np.asarray(margin, np.float64), learned)
    return dict(zip(head.gives, (np.asarray(one) for one in found), strict=True))


def test_binary_is_the_log_loss_of_what_is_known():
    head = make(loss="binary")
    label, margin, weight = [0, 1, NAN, 1], [[0.3], [-1.0], [5.0], [2.0]], [1, 2, 9, 0.5]
    known = np.array([0, 1, 3])
    probability = outputs(head, margin, {})["probability"][known]
    expected = log_loss(np.array(label)[known], probability, sample_weight=np.array(weight)[known])
    assert loss(head, label, margin, weight) == pytest.approx(expected, rel=1e-5)
    assert head.begin(np.array([0, 0, 0, 1.0]), np.ones(4))[0] == pytest.approx([np.log(1 / 3)])
    assert head.begin(np.array([0, 1.0]), np.array([3, 1.0]))[0] == pytest.approx([np.log(1 / 3)])
    with pytest.raises(ValueError, match="other values than 0 and 1"):
        head.begin(np.array([0, 0.5]), np.ones(2))


def test_categorical_is_the_log_loss_of_the_right_class():
    head = make(loss="categorical", classes=3, label="color")
    label, margin = [2, 0, NAN], [[0.1, 0.2, 1.0], [1.0, -1.0, 0.0], [0, 0, 9]]
    shares = np.stack(list(outputs(head, margin, {}).values()), axis=1)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert loss(head, label, margin) == pytest.approx(log_loss([2, 0], shares[:2], labels=[0, 1, 2]), rel=1e-5)
    with pytest.raises(ValueError, match="other values than 0 to 2"):
        head.begin(np.array([3.0]), np.ones(1))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_squared_and_huber_are_in_units_of_the_label(scale):
    label = np.array([1.0, 2.0, 4.0, 9.0]) * scale
    margin = np.array([[0.0], [0.5], [-0.5], [0.1]])
    squared = make(loss="squared")
    learned = squared.begin(label, np.ones(4))[1]
    mean = outputs(squared, margin, learned)["mean"]
    assert mean == pytest.approx(label.mean() + margin[:, 0] * label.std())
    half_squares = 0.5 * np.mean(((label - mean) / label.std()) ** 2)
    assert loss(squared, label, margin) == pytest.approx(half_squares, rel=1e-5)
    huber = make(loss="huber", delta=scale)
    size, delta = np.abs(label - mean) / label.std(), scale / label.std()
    expected = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)).mean()
    assert loss(huber, label, margin) == pytest.approx(expected, rel=1e-5)


def test_quantiles_are_pinball_losses_and_never_cross():
    head = make(loss="quantile", quantiles=[0.1, 0.5, 0.75])
    generator = np.random.default_rng(1)
    label, margin = generator.normal(50, 20, 40), generator.normal(0, 2, (40, 3))
    start, learned = head.begin(label, np.ones(40))
    found = outputs(head, margin, learned)
    values = [found["q10"], found["q50"], found["q75"]]
    assert (values[0] <= values[1]).all()
    assert (values[1] <= values[2]).all()
    pinball = sum(
        mean_pinball_loss(label, value, alpha=level) for value, level in zip(values, head.quantiles, strict=True)
    )
    assert loss(head, label, margin) == pytest.approx(pinball / label.std(), rel=1e-4)
    assert (found["mean"] == found["q50"]).all()
    at_start = outputs(head, [start], learned)
    assert [at_start[name][0] for name in ("q10", "q50", "q75")] == pytest.approx(np.quantile(label, [0.1, 0.5, 0.75]))
    with pytest.raises(ValidationError, match="must rise"):
        make(loss="quantile", quantiles=[0.5, 0.1])


def test_poisson_differs_from_half_the_deviance_by_what_the_margin_cannot_change():
    head = make(loss="poisson")
    label, margins = np.array([0.0, 1, 4, 2]), np.random.default_rng(0).normal(size=(2, 4, 1))
    first, second = (loss(head, label, margin) for margin in margins)
    deviances = [mean_poisson_deviance(label, outputs(head, margin, {})["mean"]) for margin in margins]
    assert first - second == pytest.approx((deviances[0] - deviances[1]) / 2, rel=1e-4)


def test_pairwise_counts_each_pair_in_the_wrong_order():
    head = make(loss="pairwise")
    label = [[1, 0, 0], [0, 1, NAN], [0, 0, 0]]
    margin = [[2.0, 1.0, 3.0], [0.5, 0.0, 7.0], [1, 2, 3]]
    pairs = [1.0 - 2.0, 3.0 - 2.0, 0.5 - 0.0]
    assert loss(head, label, margin) == pytest.approx(np.log1p(np.exp(pairs)).mean(), rel=1e-5)
    assert loss(head, [[0, 0]], [[1, 2]]) == 0


def test_listwise_is_the_cross_entropy_of_shares():
    head = make(loss="listwise")
    label = [[1, 0, 3], [0, 1, NAN], [0, 0, 0]]
    margin = np.array([[2.0, 1.0, 3.0], [0.5, 0.0, 70.0], [1, 2, 3]])
    first = margin[0] - np.log(np.exp(margin[0]).sum())
    second = margin[1, :2] - np.log(np.exp(margin[1, :2]).sum())
    expected = -(first[0] / 4 + 3 * first[2] / 4 + second[1]) / 2
    assert loss(head, label, margin) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["pairwise", "listwise"])
def test_rankings_are_calibrated(name):
    head = make(loss=name)
    generator = np.random.default_rng(3)
    margin = generator.normal(size=(4000, 1))
    label = (generator.random(4000) < 1 / (1 + np.exp(-(0.5 * margin[:, 0] - 2)))).astype(float)
    once = np.ones(4000)
    begun = head.begin(label, once)[1]
    learned = head.calibrate(label, margin, once, begun)
    counts = np.where(np.arange(4000) % 3 == 0, 2, 1)
    twice = [np.repeat(one, counts, axis=0) for one in (label, margin, once)]
    assert head.calibrate(label, margin, counts, begun) == pytest.approx(head.calibrate(*twice, begun), abs=1e-3)
    assert learned == pytest.approx({"slope": 0.5, "offset": -2}, abs=0.15)
    assert outputs(head, margin, learned)["probability"].mean() == pytest.approx(label.mean(), abs=1e-3)


def test_metrics_agree_with_scikit_learn():
    generator = np.random.default_rng(4)
    score = generator.normal(size=500).round(1)  # with ties
    label = (generator.random(500) < 0.3).astype(float)
    once, counts = np.ones(500), generator.integers(1, 4, 500)
    assert metrics.auc(label, score, counts) == pytest.approx(roc_auc_score(label, score, sample_weight=counts))
    assert metrics.auc(label, score, once) == pytest.approx(roc_auc_score(label, score))
    probability = 1 / (1 + np.exp(-score))
    assert metrics.log_likelihood(label, probability, counts) == pytest.approx(
        -log_loss(label, probability, sample_weight=counts)
    )
    group, order = generator.integers(0, 30, 500), generator.permutation(500)
    relevance, score = generator.integers(0, 4, 500).astype(float), generator.normal(size=500)
    each = [
        ndcg_score([2 ** relevance[group == one] - 1], [score[group == one]], k=10)
        for one in range(30)
        if relevance[group == one].any()
    ]
    assert metrics.ndcg(relevance[order], score[order], once, group[order]) == pytest.approx(np.mean(each))
    assert metrics.ndcg(np.zeros(4), score[:4], once[:4], group[:4]) == 0
