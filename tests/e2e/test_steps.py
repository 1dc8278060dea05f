"""Steps without Kedro: what they make in one process, one model after the other and at once, equals `kedro run`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from proml_kedro import open_project
from proml_kedro.errors import UserError
from proml_kedro.project import Project

MODELS = ("model=xgboost", "model=logistic")
MADE = ("trained_model", "evaluation")

pytestmark = pytest.mark.e2e


def contents(folder: Path, names: set[str]) -> dict[str, bytes]:
    """Bytes of each file."""
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def by_kedro(finished_shop: Any) -> Any:
    """A shop whose two models were made by two commands."""
    done = finished_shop.run(MODELS[1], "--pipelines=features,train,evaluate")
    assert done.returncode == 0, done.stderr
    return finished_shop


def check_equal(by_kedro: Any, made: dict[str, dict[str, Path]], files: Callable[[Path], set[str]]) -> None:
    for model, results in made.items():
        for name in MADE:
            expected = by_kedro.result(name, model.partition("=")[2])
            assert files(results[name]) == files(expected)
            assert contents(results[name], files(expected)) == contents(expected, files(expected))


@pytest.mark.slow
def test_one_after_the_other(by_kedro: Any, tmp_path: Path, files: Callable[[Path], set[str]]) -> None:
    project = open_project(by_kedro.folder, f"data_dir={tmp_path}")
    made = {model: {k: v.path for k, v in project.run(model).items()} for model in MODELS}
    check_equal(by_kedro, made, files)


@pytest.mark.slow
def test_at_once_in_threads(by_kedro: Any, tmp_path: Path, files: Callable[[Path], set[str]]) -> None:
    project, together = open_project(by_kedro.folder, f"data_dir={tmp_path}"), Barrier(len(MODELS))

    def run(model: str) -> dict[str, Path]:
        own = project.with_overrides(model)
        assert own.spec.model.name in model  # composed before the other one begins
        together.wait(600)
        return {name: one.path for name, one in own.run().items()}

    with ThreadPoolExecutor(len(MODELS)) as threads:
        made = dict(zip(MODELS, threads.map(run, MODELS), strict=True))
    check_equal(by_kedro, made, files)


def test_results_of_commands_are_taken_over(by_kedro: Any, caplog: pytest.LogCaptureFixture) -> None:
    project = open_project(by_kedro.folder, f"data_dir={by_kedro.data}")
    with caplog.at_level("INFO"):
        project.run("model=logistic")
    assert "computing" not in caplog.text


def test_a_project_is_found_from_below(by_kedro: Any, tmp_path: Path) -> None:
    below = by_kedro.folder / "conf" / "problem"
    project: Project = open_project(below, "seed=3")
    assert (project.spec.problem.name, project.spec.seed, project.base_path) == ("shop", 3, by_kedro.folder)
    with pytest.raises(UserError, match=r"there is no conf/config\.yaml"):
        open_project(tmp_path)


def test_mistakes_of_steps_are_located(by_kedro: Any, tmp_path: Path) -> None:
    project = open_project(by_kedro.folder, f"data_dir={tmp_path}")
    with pytest.raises(UserError, match=r"^override 'problem.label.expression=.*no column 'nothing'"):
        project.run("problem.label.expression='nothing = 1'")


@pytest.mark.slow
def test_only_the_label_changes(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Tables and features are taken over by a problem of another name, and so is a baseline that learns the same."""
    (shop.conf / "problem" / "other.yaml").write_text("defaults: [shop, _self_]\nlabel: {expression: ordered = 0}\n")
    quick = ("model.components.trees.num_boost_round=2", "evaluation.compare.resamples=20")
    first = open_project(shop.folder, f"data_dir={shop.data}", *quick).run()
    caplog.clear()
    caplog.set_level("INFO")
    second = open_project(shop.folder, f"data_dir={shop.data}", *quick, "problem=other", "features=shop").run()
    for name in ("tables", "feature_tables"):
        assert second[name].path == first[name].path
        assert f"other/{name}: unchanged, taken over" in caplog.text
    for name in ("training_set", "trained_model", "trained_baseline", "evaluation"):
        assert second[name].path != first[name].path
    caplog.clear()
    more = "model.components.trees.inputs=[visit.pages, orders.*]"
    third = open_project(shop.folder, f"data_dir={shop.data}", *quick, more).run()
    assert third["trained_model"].path != first["trained_model"].path
    assert third["trained_baseline"].path == first["trained_baseline"].path
