"""The files of an evaluation, with metrics of whoever brings them."""

import json

import numpy as np
import pytest

from proml_kedro.evaluation.compare import evaluate
from proml_kedro.evaluation.metric import Metric, RankingMetric, higher_is_better, meaning
from proml_kedro.evaluation.report import Insight, write_report
from proml_kedro.evaluation.rows import Grouping, ModelScores, ScoredRows
from proml_kedro.extensions import UnknownNameError, metrics, ranking_metrics
from proml_kedro.spec import EvaluationSpec
from proml_kedro.spec.evaluation import RankingSpec


class Hits(Metric):
    tasks = ("binary",)
    higher_is_better = True
    meaning = "share of rows on the right side of one half"

    def compute(self, label, score, weight):
        return float((weight * ((score > 0.5) == (label > 0.5))).sum() / weight.sum())


class Misses(RankingMetric):
    higher_is_better = False
    meaning = "positive rows of a group below place {k}"

    def compute(self, groups, k):
        return groups.sum(groups.positive & (groups.place > k))


def rows(days=True, baseline=True):
    generator = np.random.default_rng(0)
    score = generator.uniform(0.05, 0.95, 600)
    label = (generator.random(600) < score).astype(float)
    return ScoredRows(
        label,
        ModelScores("ours", score),
        ModelScores("theirs", np.full(600, 0.5)) if baseline else None,
        days=np.datetime64("2024-03-01") + np.arange(600) // 30 if days else None,
        grouping=Grouping("list", np.arange(600) // 6),
    )


@pytest.fixture
def spec():
    with metrics.temporary("hits", Hits), ranking_metrics.temporary("misses", Misses):
        yield EvaluationSpec.model_validate({"metrics": ["hits", "auc"], "ranking": {"metrics": ["misses@2"]}})


def test_metrics_of_ones_own_are_in_every_file(spec, tmp_path):
    scored = rows()
    result = evaluate(scored, spec, spec.ranking)
    write_report(tmp_path, result, scored, Insight({"visit.pages": 1.0}, ["## What was learned"]))
    content = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert list(content["candidate"]) == ["hits", "auc", "misses@2"]
    assert (content["candidate_name"], content["baseline_name"]) == ("ours", "theirs")
    assert content["differences"]["misses@2"]["high"] < 0, "fewer misses are better, and ours has fewer"
    report = (tmp_path / "report.md").read_text()
    assert "| higher: share of rows on the right side of one half |" in report
    assert "| lower: positive rows of a group below place 2 |" in report
    assert report.endswith("## What was learned\n")
    for name in ("calibration", "scores", "weeks", "importance"):
        assert f"![{name}]({name}.png)" in report
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_known_is_not_shown(spec, tmp_path):
    scored = rows(days=False, baseline=False)
    write_report(tmp_path, evaluate(scored, spec, RankingSpec(metrics=[])), scored, Insight())
    report = (tmp_path / "report.md").read_text()
    assert "weeks" not in report
    assert "importance" not in report
    assert "interval" not in report
    assert {file.name for file in tmp_path.glob("*.png")} == {"calibration.png", "scores.png"}


def test_names_tell_which_way_is_up(spec):
    assert [higher_is_better(name) for name in ("hits", "misses@2", "logloss", "ndcg@3", "gone", "gone@3")] == [
        *(True, False, False, True),
        *(True, True),
    ]
    assert meaning("misses@7") == "positive rows of a group below place 7"
    with pytest.raises(UnknownNameError):
        meaning("gone")
