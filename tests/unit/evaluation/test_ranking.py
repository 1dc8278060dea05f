"""Metrics within groups equal what a plain loop over the groups computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from proml_kedro.errors import UserError
from proml_kedro.evaluation.compare import evaluate
from proml_kedro.evaluation.groups import Grades
from proml_kedro.evaluation.metric import meaning
from proml_kedro.evaluation.rankings import Rankings
from proml_kedro.evaluation.rows import Grouping, ModelScores, ScoredRows
from proml_kedro.spec import EvaluationSpec
from proml_kedro.spec.evaluation import RankingSpec

METRICS = [
    "ndcg@1",
    "ndcg@3",
    "ndcg@10",
    "precision@1",
    "precision@4",
    "recall@2",
    "map@3",
    "map@20",
    "mrr",
    "group_auc",
]


def of_one_group(metric, labels, scores):
    """From the definition; ``labels`` in the order of the ranking."""
    name, _, cut = metric.partition("@")
    positives = sum(labels)
    if not positives:
        return math.nan
    k = int(cut or 0)
    if name == "mrr":
        return 1 / (labels.index(1) + 1)
    if name == "precision":
        return sum(labels[:k]) / k
    if name == "recall":
        return sum(labels[:k]) / positives
    if name == "ndcg":
        gain = sum(label / math.log2(place + 2) for place, label in enumerate(labels[:k]))
        return gain / sum(1 / math.log2(place + 2) for place in range(min(positives, k)))
    if name == "map":
        hits = [sum(labels[: place + 1]) / (place + 1) for place, label in enumerate(labels[:k]) if label]
        return sum(hits) / min(positives, k)
    wins = [
        (a > b) + 0.5 * (a == b)
        for a, one in zip(scores, labels, strict=True)
        if one
        for b, other in zip(scores, labels, strict=True)
        if not other
    ]
    return sum(wins) / len(wins) if wins else math.nan


@st.composite
def rankings(draw):
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=12))
    rows = sum(sizes)
    label = draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows))
    score = draw(st.lists(st.integers(-3, 3), min_size=rows, max_size=rows))
    group = np.repeat(np.arange(len(sizes)), sizes)
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(rows)
    return np.array(label)[order], np.array(score, float)[order], group[order]


@settings(max_examples=150, deadline=None)
@given(rankings(), st.integers(0, 5))
def test_every_metric_equals_a_plain_loop(rows, seed):
    label, score, group = rows
    ranked = Rankings(label, score, group, seed)
    # Equal scores stand in the order that was drawn: the loop takes the order and not the draw from the class.
    assert (np.diff(ranked.score)[np.diff(ranked.group) == 0] <= 0).all()
    for metric in METRICS:
        expected = []
        for one in range(group.max() + 1):
            mine = ranked.group == one
            assert sorted(ranked.score[mine]) == sorted(score[group == one])
            assert ranked.positive[mine].sum() == label[group == one].sum()
            expected.append(
                of_one_group(metric, ranked.positive[mine].astype(int).tolist(), ranked.score[mine].tolist())
            )
        assert ranked.of_groups(metric) == pytest.approx(expected, nan_ok=True), metric
        defined = [value for value in expected if not math.isnan(value)]
        mean = sum(defined) / len(defined) if defined else math.nan
        assert ranked.measure([metric])[metric] == pytest.approx(mean, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(rankings(), st.integers(0, 1000))
def test_a_weight_of_two_is_the_group_twice(rows, seed):
    label, score, group = rows
    score = score + np.linspace(0, 0.5, len(score))  # no ties, whose order is drawn
    times = np.random.default_rng(seed).integers(1, 3, group.max() + 1)
    again = times[group] == 2
    twice = [np.concatenate([values, values[again]]) for values in (label, score)]
    _, groups = np.unique(np.concatenate([group, group[again] + group.max() + 1]), return_inverse=True)
    for metric in METRICS:
        weighted = Rankings(label, score, group).measure([metric], times.astype(float))[metric]
        assert weighted == pytest.approx(Rankings(*twice, groups).measure([metric])[metric], nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(rankings())
def test_only_the_order_within_groups_counts(rows):
    label, score, group = rows
    for metric in METRICS:
        plain = Rankings(label, score, group).of_groups(metric)
        shifted = Rankings(label, 2 * score + 100 * group, group).of_groups(metric)
        assert np.array_equal(plain, shifted, equal_nan=True)


def test_it_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    label, score = (generator.random((200, 10)) < 0.3).astype(int), generator.random((200, 10))
    some = (label.sum(axis=1) > 0) & (label.sum(axis=1) < 10)
    ranked = Rankings(label.ravel(), score.ravel(), np.repeat(np.arange(200), 10))
    for k in (1, 5, 10):
        expected = ndcg_score(label[label.any(axis=1)], score[label.any(axis=1)], k=k)
        assert ranked.measure([f"ndcg@{k}"])[f"ndcg@{k}"] == pytest.approx(expected)
    areas = [roc_auc_score(one, of) for one, of in zip(label[some], score[some], strict=True)]
    assert ranked.measure(["group_auc"])["group_auc"] == pytest.approx(np.mean(areas))


def test_equal_scores_are_worth_no_more_than_chance():
    """Were they left in the order of the rows, the first places would go to the rows that were shown first."""
    label = np.tile([1, 0, 0, 0], 5000)
    flat = Rankings(label, np.zeros(20_000), np.repeat(np.arange(5000), 4))
    assert flat.measure(["precision@1"])["precision@1"] == pytest.approx(0.25, abs=0.02)
    assert flat.measure(["group_auc"])["group_auc"] == 0.5


def test_groups_without_a_positive_are_counted_and_left_out():
    ranked = Rankings([0, 0, 0, 1], [1, 2, 3, 4], np.array([0, 0, 1, 1]))
    assert (ranked.positives == 0).sum() == 1
    assert ranked.measure(["mrr", "precision@2"]) == {"mrr": 1.0, "precision@2": 0.5}
    nothing = Rankings([0, 0], [1, 2], np.array([0, 1]))
    assert np.isnan(list(nothing.measure(["mrr", "ndcg@5", "group_auc"]).values())).all()


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_explained(metric):
    assert "{" not in meaning(metric)


def graded(seed, groups=60, ties=False):
    """Grades of 0 to 3, scores that know a part of them, and groups of 1 to 25 rows in no order."""
    generator = np.random.default_rng(seed)
    group = generator.permutation(np.repeat(np.arange(groups), generator.integers(1, 26, groups)))
    label = generator.choice([0.0, 1.0, 2.0, 3.0], len(group), p=[0.6, 0.2, 0.15, 0.05])
    score = label + generator.normal(0, 1.5, len(group))
    return label, score.round() if ties else score, group


@pytest.mark.parametrize("relevant", [None, 2.0])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_graded_labels_agree_with_ir_measures(seed, ties, relevant):
    """Equal scores stand in an order that is drawn, so ir-measures is given the places."""
    import ir_measures
    from ir_measures import AP, RR, P, R, nDCG

    label, score, group = graded(seed, ties=ties)
    ranked = Rankings(label, score, group, seed, grades=Grades(relevant=relevant))
    names = [(str(one), str(row)) for row, one in enumerate(ranked.group)]
    grades = [ir_measures.Qrel(*name, int(grade)) for name, grade in zip(names, ranked.gain, strict=True)]
    run = [ir_measures.ScoredDoc(*name, -float(place)) for name, place in zip(names, ranked.place, strict=True)]
    least = {"rel": int(relevant)} if relevant else {}
    theirs = {
        "ndcg@5": nDCG @ 5,
        "ndcg@20": nDCG @ 20,
        "precision@3": P(**least) @ 3,
        "recall@4": R(**least) @ 4,
        "map@100": AP(**least),
        "mrr": RR(**least),
    }
    found = {(one.query_id, str(one.measure)): one.value for one in ir_measures.iter_calc(theirs.values(), grades, run)}
    for name, measure in theirs.items():
        values = ranked.of_groups(name)
        defined = np.isfinite(values)
        assert defined.any()
        expected = [found[str(one), str(measure)] for one in np.flatnonzero(defined)]
        assert values[defined] == pytest.approx(expected, abs=1e-9), name


@pytest.mark.parametrize("exponential", [False, True])
def test_graded_gains_agree_with_scikit_learn(exponential):
    label, score, group = graded(9)
    ranked = Rankings(label, score, group, grades=Grades(exponential))
    gain = 2**label - 1 if exponential else label
    for one, found in enumerate(ranked.of_groups("ndcg@4")):
        mine = group == one
        if mine.sum() > 1 and label[mine].any():
            assert found == pytest.approx(ndcg_score([gain[mine]], [score[mine]], k=4), abs=1e-9)
        elif not label[mine].any():
            assert math.isnan(found)


def judged(label, ranking):
    score = np.random.default_rng(0).random(len(label))
    rows = ScoredRows(
        label, ModelScores("ours", score), ModelScores("theirs", 1 - score), "regression",
        grouping=Grouping("list", np.arange(len(label)) // 10),
    )  # fmt: skip
    return evaluate(rows, EvaluationSpec(), RankingSpec.model_validate(ranking))


def test_a_number_is_a_grade_in_a_ranking():
    label = graded(3)[0][:400]
    plain, steep = (judged(label, {"gain": gain}) for gain in ("linear", "exponential"))
    assert plain.candidate["ndcg@10"] > steep.candidate["ndcg@10"], "high grades are missed more often"
    assert plain.candidate["mrr"] == steep.candidate["mrr"]
    strict = judged(label, {"relevant": 2})
    assert strict.candidate["mrr"] < plain.candidate["mrr"]
    assert strict.ranking.without_positive > plain.ranking.without_positive
    assert (strict.ranking.relevant, steep.ranking.gain) == (2, "exponential")


@pytest.mark.parametrize(
    ("label", "ranking", "message"),
    [
        ([3.0, -0.5] * 50, {}, "evaluation.ranking: a label is -0.5; a grade must not be negative"),
        (
            [1.0, 32.0] * 50,
            {"gain": "exponential"},
            "evaluation.ranking.gain: a label is 32; 2^label is of use up to 31",
        ),
    ],
)
def test_labels_that_are_no_grades_are_refused(label, ranking, message):
    with pytest.raises(UserError, match=message.replace("^", r"\^")):
        judged(np.array(label), ranking)
