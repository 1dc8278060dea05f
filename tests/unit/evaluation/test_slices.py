"""Parts of the test period: what training has not seen, and values of columns, each judged by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from proml_kedro.evaluation.compare import evaluate
from proml_kedro.evaluation.report import Insight, write_report
from proml_kedro.evaluation.rows import ModelScores, ScoredRows, Slice
from proml_kedro.evaluation.slices import by_knowledge, by_value
from proml_kedro.results import Metrics
from proml_kedro.spec import EvaluationSpec
from proml_kedro.summary import _unknown


def write_rows(folder: Path, train: list[Any], test: list[Any], kind: pa.DataType | None = None) -> Path:
    """Write a training set of one column; a validation row of every test value must not make it known."""
    file = folder / "training_set.parquet"
    split = ["train"] * len(train) + ["validation"] * len(test) + ["test"] * len(test)
    pq.write_table(pa.table({"split": split, "x": pa.array([*train, *test, *test], kind)}), file)
    return file


def found(slices: Any) -> dict[str, list[int]]:
    return {one.value: np.flatnonzero(one.rows).tolist() for one in slices}


@pytest.mark.parametrize(
    ("train", "test", "unknown"),
    [
        (["a", "b"], ["a", "c", "b", "c"], [1, 3]),
        ([1, 2, None], [2, None, 3], [1, 2]),
        ([], ["a"], [0]),
        (["a"], ["a", "a"], []),
    ],
)
def test_a_key_is_known_when_the_training_split_has_a_row_of_it(
    tmp_path: Path, train: list[Any], test: list[Any], unknown: list[int]
) -> None:
    kind = pa.int64() if isinstance(test[0], int) else pa.string()
    sides = found(by_knowledge(write_rows(tmp_path, train, test, kind), "x"))
    assert sides == {"known": [one for one in range(len(test)) if one not in unknown], "unknown": unknown}


def test_values_have_slices_and_rare_ones_share_one(tmp_path: Path) -> None:
    test = [f"v{one:02d}" for one in range(25) for _ in range(1 + (one < 20))] + [None]
    parts = found(by_value(write_rows(tmp_path, [], test, pa.string()), "x"))
    assert list(parts) == [*(f"v{one:02d}" for one in range(20)), "other values", "missing"]
    assert parts["v03"] == [6, 7]
    assert parts["other values"] == list(range(40, 45))
    assert parts["missing"] == [45]


def test_numbers_of_many_values_are_cut_into_quarters(tmp_path: Path) -> None:
    numbers = [*np.random.default_rng(0).permutation(400).astype(float), None, float("nan")]
    parts = found(by_value(write_rows(tmp_path, [], numbers, pa.float64()), "x"))
    assert {name: len(rows) for name, rows in parts.items()} == {
        "up to 99": 100,
        "up to 199": 100,
        "up to 299": 100,
        "above 299": 100,
        "missing": 2,
    }
    eleven = found(by_value(write_rows(tmp_path, [], list(range(11, 0, -1)), pa.int64()), "x"))
    assert list(eleven) == [str(one) for one in range(1, 12)]
    few = found(by_value(write_rows(tmp_path, [], [True, False, True], pa.bool_()), "x"))
    assert few == {"false": [1], "true": [0, 2]}
    tied = found(by_value(write_rows(tmp_path, [], [0] * 90 + list(range(1, 31)), pa.int64()), "x"))
    assert sorted(one for rows in tied.values() for one in rows) == list(range(120)), "every row is in one part"


@pytest.fixture
def rows() -> ScoredRows:
    """A model that knows what it has seen: 85 % of the test rows are of users that are new."""
    generator = np.random.default_rng(2)
    new = generator.random(4000) < 0.85
    truth = generator.random(4000)
    label = (generator.random(4000) < truth).astype(float)
    score = np.where(new, 0.5 + 0.1 * (truth - 0.5) + 0.1 * generator.normal(size=4000), truth).clip(0.01, 0.99)
    slices = [
        Slice("user", "known", ~new),
        Slice("user", "unknown", new),
        Slice("item", "unknown", np.zeros(4000, bool)),
    ]
    flat = ModelScores("line", 0.5 + 0.3 * (truth - 0.5))
    return ScoredRows(label, ModelScores("mixed", score), flat, clusters=np.arange(4000) // 50, slices=slices)


def test_each_part_has_the_figures_of_its_rows(rows: ScoredRows) -> None:
    result = evaluate(rows, EvaluationSpec())
    for one, part in zip(result.slices[:2], rows.slices, strict=False):
        auc = [roc_auc_score(rows.label[part.rows], by[part.rows]) for by in (rows.candidate.scores, _scores(rows))]
        assert (one.candidate, one.baseline) == pytest.approx(tuple(auc), abs=1e-9)
        assert one.rows == part.rows.sum()
        assert one.difference is not None
        assert one.difference.difference == pytest.approx(auc[0] - auc[1])
        assert one.difference.p_adjusted >= one.difference.p_value
    known, unknown, empty = result.slices
    assert known.difference is not None
    assert unknown.difference is not None
    assert unknown.difference.high < 0 <= known.difference.high, "worse where it knows nothing"
    assert (empty.rows, empty.difference) == (0, None)
    assert np.isnan(empty.candidate)


def _scores(rows: ScoredRows) -> Any:
    assert rows.baseline is not None
    return rows.baseline.scores


def test_report_and_summary_say_how_good_it_is_on_what_is_new(rows: ScoredRows, tmp_path: Path) -> None:
    write_report(tmp_path, evaluate(rows, EvaluationSpec()), rows, Insight())
    metrics = Metrics.read(tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "## auc on parts of the test period" in report
    parts = [line for line in report.splitlines() if line.startswith(("| user", "| item"))]
    assert [line.count("|") for line in parts] == [10, 10, 10]
    (line,) = _unknown(metrics)
    figures = [one.candidate or 0 for one in metrics.slices[:2]]
    assert line.startswith("84% of the test rows are of a user that training has not seen: auc ")
    assert line.endswith(f"{figures[1]:.4f} there, {figures[0]:.4f} on the others")


def test_a_part_of_all_rows_is_no_further_test(rows: ScoredRows) -> None:
    whole = [Slice("user", "known", np.ones(4000, bool)), Slice("user", "unknown", np.zeros(4000, bool))]
    result = evaluate(replace(rows, slices=whole), EvaluationSpec())
    assert [one.difference for one in result.slices] == [None, None]
    assert result.slices[0].candidate == result.candidate["auc"]
    assert result.differences == evaluate(replace(rows, slices=[]), EvaluationSpec()).differences


def test_without_a_baseline_parts_have_the_models_figure_alone(rows: ScoredRows, tmp_path: Path) -> None:
    alone = ScoredRows(rows.label, rows.candidate, slices=rows.slices)
    result = evaluate(alone, EvaluationSpec())
    assert result.slices[0].baseline is None
    write_report(tmp_path, result, alone, Insight())
    assert Metrics.read(tmp_path).slices[0].difference is None
