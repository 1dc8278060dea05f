"""`kedro compare`: models that runs have left, on the same examples or not at all, and the verdict first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from evaluations import ROWS, make_rows, write_evaluation
from proml_kedro import open_project
from proml_kedro.artifacts import Recipe
from proml_kedro.cli import cli
from proml_kedro.evaluation.power import clusters_needed
from proml_kedro.evaluation.result import Difference
from proml_kedro.results import Metrics, Scores
from proml_kedro.results.names import MANIFEST
from proml_kedro.workflow import Run
from proml_kedro.workflow.recording import Recording


def _write_result(folder: Path, **how: Any) -> None:
    write_evaluation(folder, **how)


def test_the_verdict_comes_first_and_every_figure_after_it(compare: Callable[..., Result], tmp_path: Path) -> None:
    champion = write_evaluation(tmp_path / "champion", 0.3)
    worse = write_evaluation(tmp_path / "worse", 2.0, seed=2)
    done = compare(champion, worse)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{worse} is worse than {champion}: auc -0.")
    assert "o not serve it" in lines[0]
    assert "2,000 rows, 40 clusters by day" in lines
    assert [line.split()[0] for line in lines if line.endswith(" worse")] == ["auc", "logloss", "ndcg@5"]
    assert compare(worse, champion).stdout.startswith(f"{champion} is better than {worse}: auc +0.")


def test_figures_are_those_of_the_scores_and_differences_turn_around(
    compare: Callable[..., Result], tmp_path: Path
) -> None:
    from sklearn.metrics import log_loss, roc_auc_score

    folders = [write_evaluation(tmp_path / str(one), one / 2, seed=one) for one in (1, 2)]
    there, back = (json.loads(compare(*order, "--json").stdout)["comparisons"][0] for order in (folders, folders[::-1]))
    for figures, folder in ((there["baseline"], folders[0]), (there["candidate"], folders[1])):
        table = Scores.read(folder).table
        assert figures["auc"] == pytest.approx(roc_auc_score(table["label"], table["score"]), abs=1e-12)
        assert figures["logloss"] == pytest.approx(log_loss(table["label"], table["score"]), abs=1e-12)
    for name, one in there["differences"].items():
        other = back["differences"][name]
        assert one["difference"] == pytest.approx(-other["difference"])
        assert (one["low"], one["p_value"]) == pytest.approx((-other["high"], other["p_value"]))
    assert list(there["candidate"]) == ["auc", "logloss", "ndcg@5"]


def test_a_model_equals_itself(compare: Callable[..., Result], tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / name, 0.5) for name in ("one", "again")]
    done = compare(*folders)
    assert "as good as" in done.stdout.splitlines()[0]
    assert "takes about" not in done.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": np.zeros(ROWS)}, "have another 'label'"),
        ({"user": ["u0"] * ROWS}, "have another 'user'"),
        ({"day": ["2024-05-01"] * ROWS}, "have another 'day'"),
        ({"example_id": np.arange(ROWS) + ROWS}, "no example of the test period in common"),
        ({"example_id": np.arange(ROWS) // 2}, "scored an example more than once"),
        ({"split": ["validation"] * ROWS}, "has no scores of a test period"),
        ({"task": "regression"}, "they cannot be compared"),
    ],
)
def test_what_is_not_the_same_is_not_compared(
    compare: Callable[..., Result], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    done = compare(write_evaluation(tmp_path / "one", 0.5), write_evaluation(tmp_path / "other", 0.5, **changes))
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def write_classes(folder: Path, sure: float, seed: int, names: Sequence[str] = ("low", "mid", "high")) -> Path:
    """Write what an evaluation of three classes leaves, of a model that is so sure of the right one."""
    generator = np.random.default_rng(3)
    label = generator.integers(0, 3, ROWS)
    margin = np.random.default_rng(seed).normal(size=(ROWS, 3)) + sure * np.eye(3)[label]
    each = np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True)
    columns = {f"probability.{name}": each[:, number] for number, name in enumerate(names)}
    best = np.array(names)[each.argmax(axis=1)]
    rows = {name: make_rows()[name] for name in ("example_id", "user", "day", "split")}
    table = pa.table({**rows, "label": np.array(names)[label], "class": best, "score": each.max(axis=1), **columns})
    folder.mkdir(parents=True)
    pq.write_table(table, folder / Scores.FILE)
    content = {"rows": ROWS, "task": "multiclass", "candidate": {"logloss": 1.0, "accuracy": 0.5}, "cluster_by": "day"}
    Metrics.of(content).write(folder)
    return folder


def test_models_of_several_classes_are_compared_by_the_probability_of_each(
    compare: Callable[..., Result], tmp_path: Path
) -> None:
    from sklearn.metrics import accuracy_score, log_loss

    folders = [write_classes(tmp_path / str(sure), sure, seed) for sure, seed in ((1.0, 1), (1.5, 2))]
    done = compare(*folders, "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["comparisons"]
    assert found["verdict"] == "better"
    for figures, folder in ((found["baseline"], folders[0]), (found["candidate"], folders[1])):
        table = Scores.read(folder).table
        each = np.stack([table[f"probability.{name}"].to_numpy() for name in ("high", "low", "mid")], axis=1)
        assert figures["logloss"] == pytest.approx(log_loss(table["label"].to_pylist(), each), abs=1e-9)
        best = accuracy_score(table["label"].to_pylist(), table["class"].to_pylist())
        assert figures["accuracy"] == pytest.approx(best, abs=1e-12)
    other = write_classes(tmp_path / "other", 1.0, 1, ("low", "mid", "top"))
    refused = compare(folders[0], other)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert "of classes" in refused.stderr


def test_weights_of_training_may_differ(compare: Callable[..., Result], tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / str(one), 0.5, weight=np.full(ROWS, float(one))) for one in (1, 2)]
    assert "as good as" in compare(*folders).stdout


def test_rows_that_one_model_has_not_scored_are_left_out_and_counted(
    compare: Callable[..., Result], tmp_path: Path
) -> None:
    fewer = {name: values[: ROWS // 2] for name, values in make_rows().items()}
    done = compare(write_evaluation(tmp_path / "one", 0.5), write_evaluation(tmp_path / "other", 0.5, **fewer))
    assert f"1,000 of 2,000 examples of {tmp_path / 'one'} are left out" in done.stdout.splitlines()[0]
    assert "1,000 rows, 20 clusters by day" in done.stdout


def test_of_several_models_intervals_are_wider(compare: Callable[..., Result], tmp_path: Path) -> None:
    """Five models that equal the first are called different as rarely as one."""
    folders = [write_evaluation(tmp_path / str(one), 0.7, seed=10 * one + 1) for one in range(6)]
    several = json.loads(compare(*folders, "--json").stdout)["comparisons"]
    alone = json.loads(compare(*folders[:2], "--json").stdout)["comparisons"][0]
    assert [one["confidence"] for one in several] == pytest.approx([0.99] * 5)
    assert several[0]["differences"]["auc"]["low"] < alone["differences"]["auc"]["low"]
    assert "99% interval" in compare(*folders).stdout


def test_a_margin_is_a_question_of_its_own(compare: Callable[..., Result], tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / str(one), 0.7, seed=one) for one in (1, 5)]
    assert "\nAs good within 0.1 in auc." in compare(*folders, "--margin", "0.1").stdout
    said = compare(*folders, "--margin", "0.0001").stdout
    assert "\nNot shown to be as good within 0.0001 in auc." in said
    assert "To see a difference of 0.0001 in auc in 4 of 5 tests takes about" in said


def test_what_decides_and_what_a_cluster_is_can_be_chosen(compare: Callable[..., Result], tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / str(one), one, seed=one) for one in (1, 2)]
    done = compare(*folders, "--metric", "ndcg@5", "--metric", "logloss", "--by", "user")
    assert ": ndcg@5 -0." in done.stdout.splitlines()[0]
    assert "2,000 rows, 9 clusters by user" in done.stdout
    assert compare(*folders, "--by", "row").stdout.count("2,000 clusters by row") == 1


def test_runs_bundles_and_models_are_found_by_what_they_are_called(
    make_project: Callable[[Path], Any], tmp_path: Path
) -> None:
    """Two runs of one model: the first by its id and by its bundle, the second as the newest of the model."""
    project = make_project(tmp_path)
    opened = open_project(project.folder, f"data_dir={project.data}")
    run = Run(opened.spec, opened.store(), opened.base_path, opened.places)
    ids, bundles = [], []
    for seed in (1, 2):
        recording = Recording.begin(run, "kedro run", [])
        recipe = Recipe("evaluation", {"seed": seed})
        made = run.store.build(recipe, {}, partial(_write_result, noise=float(seed), seed=seed))
        recording.results["evaluation"] = made
        recording.complete()
        ids.append(recording.record.id)
        bundle = Recipe("bundle", {}, {"evaluation": recipe})
        write = lambda folder: (folder / MANIFEST).write_text("name: a\n") and None  # noqa: E731
        bundles.append(run.store.build(bundle, {"evaluation": made}, write).path)
    options = ["--set", f"data_dir={project.data}", "--conf-source", str(project.conf), "--json"]
    found = []
    for words in ([ids[0], ids[1][:6]], [bundles[0], ids[1]], [ids[0], bundles[1]], [ids[0], "trees"]):
        done = CliRunner().invoke(cli, ["compare", *map(str, words), *options])
        assert done.exit_code == 0, done.output
        (one,) = json.loads(done.stdout)["comparisons"]
        found.append((one["baseline"], one["candidate"], one["differences"]))
    assert found == [found[0]] * 4
    assert found[0][0]["auc"] > found[0][1]["auc"]
    shutil.rmtree(run.store.data_dir / "store" / "evaluation")
    gone = CliRunner().invoke(cli, ["compare", *ids, *options])
    assert gone.exit_code == 2
    assert f"the evaluation of run {ids[0]} was removed; `kedro run` makes it anew" in gone.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{one}", "nothing"], "neither a run, nor a folder of a bundle or an evaluation, nor a model"),
        (["{one}", "{one}"], "is named twice"),
        (["{one}", "{two}", "--metric", "acu"], "no metric 'acu'. Did you mean 'auc'"),
        (["{one}", "{two}", "--by", "users"], "has no column 'users'"),
        (["{one}", "{two}", "--margin", "-1"], "margin"),
        (["{one}"], "is compared with nothing: name other models, or write --all"),
        (["{one}", "--all"], "there is no other model to compare"),
    ],
)
def test_mistakes_are_one_line(compare: Callable[..., Result], tmp_path: Path, words: list[str], message: str) -> None:
    folders = {name: write_evaluation(tmp_path / name, 0.5) for name in ("one", "two")}
    done = compare(*(word.format(**folders) for word in words))
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_all_models_of_a_problem_are_one_table_the_best_first(
    make_project: Callable[[Path], Any], tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    places = open_project(project.folder, f"data_dir={project.data}").places
    noises = {"plain": 1.0, "sharp": 0.3, "blunt": 2.0}
    for seed, (model, noise) in enumerate(noises.items()):
        write_evaluation(places.at("evaluation", places.problem, model), noise, seed=seed)
    other = {"label": np.zeros(ROWS)}
    write_evaluation(places.at("evaluation", places.problem, "odd"), 0.5, **other)
    options = ["--set", f"data_dir={project.data}", "--conf-source", str(project.conf)]
    done = CliRunner().invoke(cli, ["compare", "plain", "--all", *options])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("odd is left out: ")
    at = next(number for number, line in enumerate(lines) if line.startswith("model "))
    rows = [line.split() for line in lines[at + 1 : at + 4]]
    assert [(row[0], row[-1]) for row in rows] == [("sharp", "better"), ("plain", "baseline"), ("blunt", "worse")]
    found = json.loads(CliRunner().invoke(cli, ["compare", "plain", "--all", "--json", *options]).stdout)
    by_name = {one["candidate_name"]: one for one in found["comparisons"]}
    assert set(by_name) == {"sharp", "blunt"}
    for row in rows[::2]:
        assert row[1:4] == [f"{one:.4f}" for one in by_name[row[0]]["candidate"].values()]
        assert row[4] == f"{by_name[row[0]]['differences']['auc']['difference']:+.4f}"
    assert "97.5% interval" in lines[at], "two are compared with one"


def test_so_many_clusters_show_a_difference_in_four_of_five_tests() -> None:
    """By simulation: differences of clusters are normal, of a mean that is to be seen."""
    generator = np.random.default_rng(0)
    one = Difference(0.01, 0, 0.02, standard_error=1 / np.sqrt(50), p_value=0.1, clusters=50.0)  # deviation 1 a cluster
    needed = clusters_needed(one, 50, 0.3, 0.95)
    assert needed == pytest.approx(87, abs=1)
    means = generator.normal(0.3, 1, (4000, needed or 0))
    found = np.abs(means.mean(axis=1)) / (means.std(axis=1, ddof=1) / np.sqrt(needed or 1)) > 1.99
    assert found.mean() == pytest.approx(0.8, abs=0.03)
    assert clusters_needed(Difference(0, 0, 0, 0, 1), 50, 0.3, 0.95) is None
