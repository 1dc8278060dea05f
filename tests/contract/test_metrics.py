"""Every metric and ranking metric that is installed obeys the laws, and the laws find what is wrong."""

import numpy as np
import pytest

from proml_kedro.evaluation.metric import Metric, RankingMetric
from proml_kedro.extensions import metrics, ranking_metrics
from proml_kedro.testing import check_metric, check_ranking_metric


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_obeys_the_laws(name):
    check_metric(name)


@pytest.mark.parametrize("name", ranking_metrics.names())
def test_every_ranking_metric_obeys_the_laws(name):
    cuts = ["@1", "@3", "@6"] if ranking_metrics.get(name).has_cut else [""]
    for cut in cuts:
        check_ranking_metric(name + cut)


class Squared(Metric):
    tasks = ("binary", "regression")
    higher_is_better = False
    meaning = "mean squared error"

    def compute(self, label, score, weight):
        return float((weight * (score - label) ** 2).sum() / weight.sum())


class ByPlace(Squared):
    """Of two rows with one score the first counts."""

    def compute(self, label, score, weight):
        first = np.unique(score, return_index=True)[1]
        return float((weight * label)[first].sum() / weight[first].sum())


class Summed(Squared):
    def compute(self, label, score, weight):
        return float((weight * (score - label) ** 2).sum())


class Unweighted(Squared):
    def compute(self, label, score, weight):
        return float(((score - label) ** 2).mean())


class UpsideDown(Squared):
    higher_is_better = True


class OffByACluster(Squared):
    def without_each(self, rows):
        return rows.sums(rows.weight * (rows.score - rows.label) ** 2) / rows.masses


class Infinite(Squared):
    def compute(self, label, score, weight):
        return super().compute(label, score, weight) / max(np.ptp(label), 1e-320)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (ByPlace, "the order of rows"),
        (Summed, "the scale of weights"),
        (Unweighted, "a weight of 2"),
        (UpsideDown, "which way is up"),
        (OffByACluster, "without each cluster"),
        (Infinite, "what is not defined is NaN"),
        (type("Nowhere", (Squared,), {"tasks": ()}), "names no task"),
    ],
)
def test_the_laws_find_a_broken_metric(broken, law):
    with metrics.temporary("mine", Squared):
        check_metric("mine")
    with metrics.temporary("mine", broken), pytest.raises(AssertionError, match=law):
        check_metric("mine")


class First(RankingMetric):
    meaning = "share of groups whose first {k} rows hold a positive one"

    def compute(self, groups, k):
        return np.minimum(groups.sum(groups.positive & (groups.place <= k)), 1)


class ByScore(First):
    def compute(self, groups, k):
        return groups.sum(groups.score * groups.positive)


class Whole(First):
    def compute(self, groups, k):
        return super().compute(groups, k) / len(groups.sizes)


class Worst(First):
    def compute(self, groups, k):
        return 1 - super().compute(groups, k)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (ByScore, "only the order of scores"),
        (Whole, "depends on its rows alone"),
        (Worst, "which way is up"),
        (type("Uncut", (First,), {"has_cut": False}), "has_cut"),
    ],
)
def test_the_laws_find_a_broken_ranking_metric(broken, law):
    with ranking_metrics.temporary("mine", First):
        check_ranking_metric("mine@2")
    with ranking_metrics.temporary("mine", broken), pytest.raises(AssertionError, match=law):
        check_ranking_metric("mine@2")
