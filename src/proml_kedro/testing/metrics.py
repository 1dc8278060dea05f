"""The laws of metrics and ranking metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.evaluation.metric import Metric, RankingMetric, find_metric, find_ranking_metric, meaning
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rankings import Rankings
from proml_kedro.spec.problem import Task

Array = npt.NDArray[Any]

_ROWS = 400
_GROUPS = 600
_CLASSES = 7
_CLUSTERS = 12
_TOLERANCE = 1e-9


def check_metric(name: str) -> None:
    """Prove the laws for one metric.

    In a test of your own::

        @metrics.register("gini")
        class Gini(Metric):
            tasks = ("binary",)
            higher_is_better = True
            meaning = "twice the AUC less one"

            def compute(self, label, score, weight):
                return 2 * find_metric("auc").compute(label, score, weight) - 1


        def test_gini():
            check_metric("gini")

    Args:
        name: Its name in the registry.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    metric = find_metric(name)
    _check_declaration(metric)
    for task in metric.tasks:
        samples = [sample for seed in range(3) for sample in _samples(task, seed)]
        for number, (label, score) in enumerate(samples):
            _check_order(name, label, score, number)
        for number, (label, score) in enumerate(samples):
            _check_weights(name, label, score, number)
            _check_without_each(name, label, score, number)
        _check_direction(name, metric, task)
        _check_rare_samples(name, task)


def check_ranking_metric(name: str) -> None:
    """Prove the laws for one ranking metric.

    In a test of your own::

        @ranking_metrics.register("misses")
        class Misses(RankingMetric):
            higher_is_better = False
            meaning = "positive rows below place {k}"

            def compute(self, groups, k):
                return groups.sum(groups.positive & (groups.place > k))


        def test_misses():
            check_ranking_metric("misses@3")

    Args:
        name: As the configuration has it, with a cut below 8, the size of the largest group here: ``ndcg@3``.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    metric, k = find_ranking_metric(name)
    assert metric.has_cut == bool(k), f"{name}: has_cut is {metric.has_cut}"
    assert meaning(name).strip(), "the metric has no meaning"
    label, score, group = _ranked_sample(1)
    values = _of_groups(name, label, score, group)
    assert values.shape == (_GROUPS,), f"it gives the shape {values.shape} for {_GROUPS} groups"
    assert not np.isinf(values).any(), "it is infinite for a group"
    order = np.random.default_rng(2).permutation(len(label))
    _same("the order of rows does not matter", values, _of_groups(name, label[order], score[order], group[order]))
    _same("only the order of scores matters", values, _of_groups(name, label, np.exp(score / 4) + 3, group))
    some = group < 7
    _same(
        "a group's value depends on its rows alone", values[:7], _of_groups(name, label[some], score[some], group[some])
    )
    _check_ranking_direction(name, metric, label, group)
    _check_rare_groups(name)


def _check_declaration(metric: Metric) -> None:
    assert metric.tasks, "the metric names no task"
    assert set(metric.default_for) <= set(metric.tasks), "it is a default for a task that it does not fit"
    assert metric.meaning.strip(), "the metric has no meaning"
    assert "\n" not in metric.meaning, "the meaning has more than one line"


def _samples(task: Task, seed: int) -> Iterator[tuple[Array, Array]]:
    """Labels with scores: all different, in a few steps, and all equal."""
    label, score = _sample(task, seed)
    yield label, score
    yield label, _in_steps(score)
    yield label, np.full_like(score, np.median(score))


def _sample(task: Task, seed: int) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    if task == "binary":
        score = generator.uniform(0.02, 0.98, _ROWS)
        return (generator.random(_ROWS) < score).astype(np.float64), score
    if task == "count":
        score = generator.gamma(2.0, 1.5, _ROWS) + 0.1
        return generator.poisson(score).astype(np.float64), score
    if task == "multiclass":
        score = generator.dirichlet(np.ones(_CLASSES), _ROWS)
        return (generator.random((_ROWS, 1)) > np.cumsum(score, axis=1)[:, :-1]).sum(axis=1).astype(np.float64), score
    score = generator.normal(0.0, 2.0, _ROWS)
    return score + generator.normal(size=_ROWS), score


def _in_steps(score: Array) -> Array:
    """Replace each score by the middle of its fifth of the rows; probabilities of classes by sixths."""
    if score.ndim > 1:
        return np.asarray(np.round(score * 6) / 6)
    fifth = np.searchsorted(np.quantile(score, [0.2, 0.4, 0.6, 0.8]), score)
    return np.asarray(np.quantile(score, [0.1, 0.3, 0.5, 0.7, 0.9])[fifth])


def _measure(
    name: str, label: Array, score: Array, weight: Array | None = None, clusters: Array | None = None
) -> float:
    return Predictions(label, score, clusters).measure([name], weight)[name]


def _check_order(name: str, label: Array, score: Array, seed: int) -> None:
    whole = _measure(name, label, score)
    assert math.isfinite(whole), f"it is {whole} for an ordinary sample"
    for order in (np.random.default_rng(seed).permutation(_ROWS), np.argsort(label), np.argsort(-label)):
        _same("the order of rows, and of ties, does not matter", whole, _measure(name, label[order], score[order]))


def _check_weights(name: str, label: Array, score: Array, seed: int) -> None:
    times = np.random.default_rng(seed).integers(0, 3, _ROWS)
    weighted = _measure(name, label, score, times.astype(np.float64))
    repeated = np.repeat(np.arange(_ROWS), times)
    found = _measure(name, label[repeated], score[repeated], clusters=repeated)
    _same("a weight of 2 is the row twice, and of 0 none", weighted, found)
    _same("the scale of weights does not matter", weighted, _measure(name, label, score, 2.5 * times))


def _check_without_each(name: str, label: Array, score: Array, seed: int) -> None:
    clusters = np.random.default_rng(seed).integers(0, _CLUSTERS, _ROWS)
    model = Predictions(label, score, clusters)
    found = model.without_each(name)
    if found is None:
        return
    law = "what is estimated without each cluster is what its rows' weight of 0 gives"
    assert found.shape == (_CLUSTERS,), f"broken: {law}: the shape is {found.shape} for {_CLUSTERS} clusters"
    if find_metric(name).keeps_bins:
        return
    _same(law, [model.estimate(name, 1.0 - np.eye(_CLUSTERS)[one]) for one in range(_CLUSTERS)], found)


def _check_direction(name: str, metric: Metric, task: Task) -> None:
    label, score = _sample(task, 5)
    perfect, random = (
        _measure(name, label, by) for by in (_certain(label, task), np.random.default_rng(6).permutation(score))
    )
    is_better = perfect > random if metric.higher_is_better else perfect < random
    assert is_better, f"perfect scores give {perfect:.4g}, random ones {random:.4g}: which way is up?"


def _check_rare_samples(name: str, task: Task) -> None:
    label, score = _sample(task, 7)
    high = label == label.max()
    rare = {
        "one row": (label[:1], score[:1]),
        "equal labels": (np.full(9, label[high][0]), score[:9]),
        "the lowest label alone": (np.full(9, label.min()), score[:9]),
        "equal labels and scores": (np.full(9, label.min()), np.repeat(score[:1], 9, axis=0)),
        "the opposite of the labels": (label, _certain(label.max() + label.min() - label, task)),
    }
    for what, (labels, scores) in rare.items():
        with np.errstate(all="ignore"):
            value = _measure(name, labels, scores)
        assert not math.isinf(value), f"for {what} it is {value}; what is not defined is NaN"


def _certain(label: Array, task: Task) -> Array:
    """Scores that say these labels."""
    return np.eye(_CLASSES)[label.astype(np.int64)] if task == "multiclass" else label


def _ranked_sample(seed: int) -> tuple[Array, Array, Array]:
    """Labels, scores without ties, and groups of 1 to 8 rows, some without a positive row or a negative one."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(_GROUPS), generator.integers(1, 9, _GROUPS))
    score = generator.normal(size=len(group))
    return (generator.random(len(group)) < 1 / (1 + np.exp(1 - score))).astype(np.float64), score, group


def _of_groups(name: str, label: Array, score: Array, group: Array) -> Array:
    return Rankings(label, score, group).of_groups(name)


def _check_ranking_direction(name: str, metric: RankingMetric, label: Array, group: Array) -> None:
    generator = np.random.default_rng(3)
    perfect, random, equal = (
        Rankings(label, by, group, seed=4).measure([name])[name]
        for by in (label + generator.random(len(label)) / 2, generator.random(len(label)), np.zeros(len(label)))
    )
    is_better = perfect > random if metric.higher_is_better else perfect < random
    assert is_better, f"the perfect order gives {perfect:.4g}, a random one {random:.4g}: which way is up?"
    assert abs(equal - random) < 0.5 * abs(perfect - random), "equal scores are worth no more than a random order"


def _check_rare_groups(name: str) -> None:
    for labels in ([0.0], [1.0], [0.0, 0.0, 0.0], [1.0, 1.0]):
        values = _of_groups(name, np.array(labels), np.arange(len(labels)), np.zeros(len(labels), np.int64))
        assert values.shape == (1,), f"labels {labels}: it gives the shape {values.shape} for one group"
        assert not np.isinf(values).any(), f"labels {labels}: it is infinite; what is not defined is NaN"


def _same(law: str, expected: float | list[float] | Array, actual: float | Array) -> None:
    equal = np.allclose(expected, actual, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    assert equal, f"broken: {law}: {np.asarray(expected).ravel()[:3]} and {np.asarray(actual).ravel()[:3]}"
