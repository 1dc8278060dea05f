"""The page of an evaluation: its numbers are scikit-learn's, its intervals cover, and it needs nothing else."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_curve

from proml_kedro.evaluation.compare import evaluate
from proml_kedro.evaluation.curves import calibration_of, curve_of
from proml_kedro.evaluation.permutation import losses_of, rows_for
from proml_kedro.evaluation.rates import by_mass, means_of
from proml_kedro.evaluation.report import Insight, write_report
from proml_kedro.evaluation.rows import ModelScores, ScoredRows, Slice
from proml_kedro.evaluation.sections import Sample, sections_of
from proml_kedro.models.component import Explanation
from proml_kedro.spec import EvaluationSpec, RunSpec
from proml_kedro.spec.evaluation import CostsSpec
from small import make_config

ROWS = 4000


def make_rows(ties: bool = True) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Labels, scores, clusters and inputs, one of which says nothing."""
    generator = np.random.default_rng(2)
    x = generator.normal(size=ROWS)
    town = generator.choice(np.array(["Bern", "<b>Lima</b>", None], object), ROWS)
    odds = x + np.where(town == "Bern", 1.0, 0.0) - 1
    score = 1 / (1 + np.exp(-odds))
    label = (generator.random(ROWS) < score).astype(float)
    clusters = np.arange(ROWS) % 40
    columns = {"a.noise": generator.normal(size=ROWS), "a.x": x, "a.town": town, "member": town}
    columns["a.x"] = np.where(generator.random(ROWS) < 0.05, np.nan, x)
    return label, np.round(score, 2) if ties else score, clusters, columns


@pytest.mark.parametrize("ties", [True, False])
def test_points_of_curves_are_those_of_scikit_learn(ties: bool) -> None:
    label, score, clusters, _ = make_rows(ties)
    curve = curve_of(label, score, clusters, CostsSpec(false_positive=1, false_negative=4), 0.95)
    fallout, recall, thresholds = roc_curve(label, score, drop_intermediate=False)
    assert len(curve.threshold) > 10
    for at, threshold in enumerate(curve.threshold):
        said = score >= threshold
        there = int(np.flatnonzero(thresholds == threshold)[0])  # a tie is never cut
        assert curve.recall.mean[at] == pytest.approx(recall[there], abs=1e-12)
        assert curve.fallout.mean[at] == pytest.approx(fallout[there], abs=1e-12)
        assert curve.recall.mean[at] == pytest.approx(recall_score(label, said), abs=1e-12)
        assert curve.precision.mean[at] == pytest.approx(precision_score(label, said), abs=1e-12)
        assert curve.lift[at] == pytest.approx(precision_score(label, said) / label.mean(), abs=1e-12)
        cost = ((said & (label == 0)).sum() + 4 * (~said & (label == 1)).sum()) / ROWS
        assert curve.cost.mean[at] == pytest.approx(cost, abs=1e-12)
        assert curve.rows[at] == said.sum()
    assert curve.rows[-1] == ROWS


def test_calibration_keeps_ties_whole_in_whatever_order_rows_come() -> None:
    score = np.repeat([0.1, 0.2, 0.7], 100)
    label = np.concatenate([np.arange(100) < many for many in (10, 40, 70)]).astype(float)
    for order in (np.arange(300), np.random.default_rng(0).permutation(300)):
        found = calibration_of(label[order], score[order], np.arange(300), 0.95)
        assert found.said == pytest.approx([0.1, 0.2, 0.7])
        assert found.seen.mean == pytest.approx([0.1, 0.4, 0.7])
        assert found.seen.rows.tolist() == [100, 100, 100]


@pytest.mark.parametrize(
    ("rate", "spread", "binary"), [(0.3, 0.0, True), (0.3, 0.8, True), (0.02, 0.0, True), (0.5, 0.8, False)]
)
def test_intervals_cover_the_truth_where_clusters_differ(rate: float, spread: float, binary: bool) -> None:
    """400 drawn tests of 30 clusters of 40 rows, of two parts."""
    generator = np.random.default_rng(5)
    clusters = np.repeat(np.arange(30), 40)
    part = np.arange(1200) % 2
    effects = spread * generator.normal(size=20_000)
    odds = math.log(rate / (1 - rate))
    truth = float((1 / (1 + np.exp(-odds - effects))).mean()) if binary else 3.0
    inside = 0
    for _ in range(400):
        effect = spread * generator.normal(size=30)[clusters]
        chance = 1 / (1 + np.exp(-odds - effect))
        values = (generator.random(1200) < chance).astype(float) if binary else 3 + effect + generator.normal(size=1200)
        found = means_of(values, part, 2, clusters)
        inside += int(((found.low <= truth) & (truth <= found.high)).sum())
    assert 0.925 <= inside / 800 <= 0.985


def test_little_is_not_taken_for_certain() -> None:
    nothing = means_of(np.zeros(10), np.zeros(10, int), 2, np.arange(10))
    assert nothing.mean[0] == 0
    assert 0.2 < nothing.high[0] < 0.5
    assert nothing.low[0] == pytest.approx(0, abs=1e-12)
    assert nothing.rows.tolist() == [10, 0]
    assert np.isnan(nothing.mean[1])
    few = means_of(np.array([0.0, 1, 0, 1]), np.zeros(4, int), 1, np.array([0, 1, 2, 3]))
    assert few.mean[0] == 0.5
    assert np.isnan(few.low[0])


def test_parts_of_equal_mass_keep_equal_values_together() -> None:
    values = np.array([0.0] * 50 + [1.0] * 10 + list(range(2, 42)) + [np.nan] * 3)
    part = by_mass(values, 10)
    assert (part[:50] == 0).all()
    assert (part[-3:] == -1).all()
    assert np.unique(part[:-3]).tolist() == list(range(part.max() + 1))
    for one in range(part.max() + 1):
        assert values[part == one].max() < min([*values[part > one], np.inf])
    assert by_mass(np.full(3, np.nan), 10).tolist() == [-1, -1, -1]


def test_importance_is_what_shuffling_costs_and_noise_costs_nothing() -> None:
    label, _, _, columns = make_rows()
    numbers = {"a.x": np.nan_to_num(columns["a.x"]), "a.noise": columns["a.noise"]}
    judge = label, lambda known: 1 / (1 + np.exp(-known["a.x"])), "logloss"
    found = losses_of(numbers, list(numbers), judge, 0, 0.95)
    assert list(found) == ["a.x", "a.noise"]
    assert found["a.noise"].mean == 0
    assert found["a.x"].low > 0.05


def score_of(columns: Any) -> Any:
    town = np.where(columns["a.town"] == "Bern", 1.0, 0.0)
    return 1 / (1 + np.exp(-np.nan_to_num(columns["a.x"]) - town + 1))


class Links(HTMLParser):
    """Whatever a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found += [f"{tag} {name}" for name, value in attrs if name in ("src", "href", "onload", "onclick")]
        self.found += [tag] if tag in ("script", "link", "iframe", "img", "b") else []
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("task", ["binary", "regression", "count", "multiclass"])
def test_the_page_stands_alone_and_every_drawing_has_its_rows_and_a_sentence(tmp_path: Path, task: Any) -> None:
    label, score, clusters, columns = make_rows()
    classes: tuple[str, ...] = ()
    model: Any = score_of
    if task == "multiclass":
        classes, score = ("no", "yes"), np.stack([1 - score, score], axis=1)
        model = lambda known: np.stack([1 - score_of(known), score_of(known)], axis=1)  # noqa: E731
    slices = [Slice("town", "<i>", clusters < 20)]
    names = ModelScores("<ours>", score), ModelScores("theirs", np.roll(score, 1, axis=0))
    rows = ScoredRows(label, *names, task=task, clusters=clusters, classes=classes, slices=slices)
    result = evaluate(rows, EvaluationSpec())
    every = {name: values[::2] for name, values in columns.items()}
    sample = Sample(every, np.arange(0, ROWS, 2), model, list(every))
    costs = CostsSpec(false_positive=1, false_negative=5) if task == "binary" else None
    sections = list(sections_of(result, rows, sample, costs, 0))
    write_report(tmp_path, result, rows, Insight(sections=sections))
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 1_000_000
    links = Links()
    links.feed(page)
    assert (links.found, links.open) == ([], [])
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "nan" not in re.sub(r"<[^>]+>", " ", page).lower().split()
    content = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    titles = [one["title"] for one in content["sections"]]
    plain = {
        "Calibration",
        "share of positive rows by a.x",
        "share of positive rows by a.town",
        "Permutation importance",
    }
    wanted = {
        "binary": {"ROC", "Precision and recall", "Thresholds", *plain},
        "multiclass": {"Permutation importance"},
    }.get(task, {"Calibration", "mean label by a.x", "Permutation importance"})
    assert wanted <= set(titles)
    assert not any("by member" in one for one in titles)
    for drawn, one in zip(sections, content["sections"], strict=True):
        assert one["rows"]
        assert one["sentence"].endswith(".")
        assert {"rows", "low", "high"} <= set(one["rows"][0]) or drawn.title in ("Thresholds",) or not drawn.drawing
    importance = {
        one["input"]: one["loss"] for one in content["sections"][titles.index("Permutation importance")]["rows"]
    }
    assert importance["a.x"] > 0.02
    assert importance["a.noise"] == importance["member"] == 0
    if task == "binary":
        rate = {
            one["a.town"]: one for one in content["sections"][titles.index("share of positive rows by a.town")]["rows"]
        }
        for name, found in rate.items():
            mine = columns["a.town"][::2] == (None if name == "missing" else name)
            assert (found["rows"], found["share of positive rows"]) == (
                mine.sum(),
                pytest.approx(label[::2][mine].mean()),
            )


def test_contributions_are_those_of_the_model_with_their_direction() -> None:
    label, score, clusters, columns = make_rows()
    rows = ScoredRows(label, ModelScores("ours", score), clusters=clusters)
    few = {name: values[:1500] for name, values in columns.items()}
    x = np.nan_to_num(few["a.x"])
    added = {"a.x": -2 * x, "a.town": np.where(few["a.town"] == "Bern", 1.5, 0.0), "net.titles": np.full(1500, 0.1)}
    explained = Explanation(np.zeros(1500), added)
    sample = Sample(few, np.arange(1500), score_of, list(few), lambda columns: explained)
    result = evaluate(rows, EvaluationSpec())
    (found,) = (one for one in sections_of(result, rows, sample, None, 0) if one.title == "Contributions")
    assert [row[0] for row in found.rows] == ["a.x", "a.town", "net.titles"]
    for name, count, size, low, high, way in found.rows:
        assert (count, way) == (1500, {"a.x": "push down"}.get(str(name), ""))
        assert size == pytest.approx(np.abs(added[str(name)]).mean())
        assert low <= size <= high  # type: ignore[operator]
    assert "for a.x, of which larger values push down" in found.sentence
    nothing = replace(sample, explain=lambda columns: None)
    assert all(one.title != "Contributions" for one in sections_of(result, rows, nothing, None, 0))


def test_costs_are_of_truth_values() -> None:
    config = make_config()
    problem = RunSpec.model_validate(config).problem
    spec = EvaluationSpec.model_validate({"costs": {"false_positive": 1, "false_negative": 2}})
    assert list(spec.check(problem)) == []
    number = problem.model_copy(update={"label": problem.label.model_copy(update={"task": "regression"})})
    assert [one.key for one in spec.check(number)] == ["costs"]


def test_what_is_scored_does_not_grow_with_the_inputs() -> None:
    for inputs in (1, 10, 60):
        assert 500 <= rows_for(inputs) <= 4000
        assert rows_for(inputs) * inputs * 5 <= 200_000
    label, score, clusters, columns = make_rows()
    many = {f"a.n{number}": columns["a.noise"] for number in range(100)} | columns
    rows = ScoredRows(label, ModelScores("ours", score), clusters=clusters)
    chosen = ["a.x", *(name for name in many if name != "a.x")]
    sections = sections_of(
        evaluate(rows, EvaluationSpec()), rows, Sample(many, np.arange(ROWS), score_of, chosen), None, 0
    )
    (importance,) = (one for one in sections if one.title == "Permutation importance")
    assert len(importance.rows) == 60
    assert importance.rows[0][0] == "a.x"
    assert "44 inputs were not tried" in importance.sentence
