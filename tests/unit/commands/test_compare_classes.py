"""`kedro compare` of models of several classes: figures are scikit-learn's, intervals those of leaving out each day."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from scipy import stats
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, log_loss, roc_auc_score

from proml_kedro.evaluation.class_scores import baseline_columns, class_columns
from proml_kedro.results import Metrics, Scores

CLASSES = ("low", "b, c", "10")
DAYS, EACH = 24, 40
ROWS = DAYS * EACH
METRICS = ["logloss", "accuracy", "macro_f1", "weighted_f1", "ovr_auc", "class_distance", "quadratic_kappa"]


def make_labels() -> tuple[Any, Any]:
    """Numbers of classes, and the log-odds behind them."""
    generator = np.random.default_rng(3)
    truth = generator.normal(0, 1.2, (ROWS, len(CLASSES))) + np.array([1.0, 0.0, -0.5])
    return (truth + generator.gumbel(size=truth.shape)).argmax(axis=1), truth


def probabilities(noise: float, seed: int) -> Any:
    _, truth = make_labels()
    odds = truth + noise * np.random.default_rng(seed).normal(size=truth.shape)
    return np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)


def write_evaluation(folder: Path, noise: float, seed: int, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write what an evaluation of classes leaves, in random order, the scores of its own baseline included."""
    label, _ = make_labels()
    scores = probabilities(noise, seed)
    columns = {
        "example_id": np.arange(ROWS),
        "day": [f"2024-05-{1 + one // EACH:02d}" for one in range(ROWS)],
        "split": ["test"] * ROWS,
        "label": np.array(classes, object)[label],
        **class_columns(scores, classes),
        **baseline_columns(scores[:, ::-1], classes),
    }
    table = pa.table(columns).take(pa.array(np.random.default_rng(seed).permutation(ROWS)))
    folder.mkdir(parents=True)
    pq.write_table(table, folder / Scores.FILE)
    shares = {name: float((label == number).mean()) for number, name in enumerate(classes)}
    content = {"rows": ROWS, "task": "multiclass", "candidate": dict.fromkeys(METRICS, 0.5), "cluster_by": "day"}
    Metrics.of({**content, "clusters": DAYS, "class_shares": shares}).write(folder)
    return folder


def of_scikit_learn(label: Any, scores: Any) -> dict[str, float]:
    said, numbers = scores.argmax(axis=1), range(len(CLASSES))
    return {
        "logloss": log_loss(label, scores, labels=list(numbers)),
        "accuracy": accuracy_score(label, said),
        "macro_f1": f1_score(label, said, average="macro"),
        "weighted_f1": f1_score(label, said, average="weighted"),
        "ovr_auc": roc_auc_score(label, scores, multi_class="ovr", average="macro"),
        "class_distance": float(np.abs(label - said).mean()),
        "quadratic_kappa": cohen_kappa_score(label, said, weights="quadratic"),
    }


def test_figures_are_those_of_scikit_learn_and_intervals_those_of_a_jackknife(
    compare: Callable[..., Result], tmp_path: Path
) -> None:
    how = {"champion": (0.3, 1), "challenger": (1.5, 2)}
    folders = [write_evaluation(tmp_path / name, *one) for name, one in how.items()]
    done = compare(*folders, "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["comparisons"]
    label, _ = make_labels()
    first, second = (probabilities(*one) for one in how.values())
    for figures, scores in ((found["baseline"], first), (found["candidate"], second)):
        assert figures == pytest.approx(of_scikit_learn(label, scores), abs=1e-9)
    assert found["verdict"] == "worse"

    days = np.arange(ROWS) // EACH
    without = [
        {
            name: one - two
            for (name, one), two in zip(
                of_scikit_learn(label[kept], second[kept]).items(),
                of_scikit_learn(label[kept], first[kept]).values(),
                strict=True,
            )
        }
        for kept in (days != day for day in range(DAYS))
    ]
    for name in ("logloss", "accuracy", "macro_f1", "ovr_auc", "class_distance", "quadratic_kappa"):
        left_out = np.array([one[name] for one in without])
        spread = np.sqrt((DAYS - 1) / DAYS * ((left_out - left_out.mean()) ** 2).sum())
        one = found["differences"][name]
        half = stats.t.ppf(0.975, DAYS - 1) * spread
        assert (one["high"] - one["low"]) / 2 == pytest.approx(half, rel=0.02), name
        assert one["difference"] == pytest.approx(found["candidate"][name] - found["baseline"][name], abs=1e-12)


def test_a_model_equals_itself_and_other_classes_are_refused(compare: Callable[..., Result], tmp_path: Path) -> None:
    one, again = (write_evaluation(tmp_path / name, 0.5, 1) for name in ("one", "again"))
    assert "as good as" in compare(one, again).stdout.splitlines()[0]
    for classes in (("low", "b, c", "11"), ("b, c", "low", "10")):
        other = write_evaluation(tmp_path / str(classes), 0.5, 1, classes)
        done = compare(one, other)
        assert done.exit_code == 2
        assert "they cannot be compared: of classes" in done.stderr
        assert len(done.stderr.splitlines()) == 1
