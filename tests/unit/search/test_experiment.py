"""A winner as a file of ``conf/experiment``: the file makes its very model, or is not written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from proml_kedro.project import Project
from proml_kedro.results.trial import Trial
from proml_kedro.search.report import as_yaml, choice_of

ROOT = Path(__file__).parents[3]
TREES = "model.components.trees"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))


def write(conf: Path, fixed: list[str], *changes: str) -> tuple[Project, str | None]:
    project = Project(str(conf), fixed, None, conf.parent)
    trial = Trial(number=1, point={}, overrides=changes)
    (conf / "experiment" / "best.yaml").write_text(as_yaml(project, trial))
    return project.with_overrides(*changes), choice_of(project, trial, "best")


@pytest.mark.parametrize(
    ("fixed", "changes"),
    [
        (["model=logistic"], ["seed=2"]),
        ([f"{TREES}.num_boost_round=7", "search.trials=2"], [f"{TREES}.params.max_depth=5"]),
        (
            ["problem=job_recommendations", "hardware.threads=1"],
            ["model=job_ranker", "model.components.trees.refit=true"],
        ),
        (["evaluation.champion=data/b"], ["model=linear", "model.components.linear.penalty=300"]),
        (["data_dir=elsewhere", "env=prod"], ["seed=9"]),
    ],
    ids=str,
)
def test_what_was_fixed_is_in_the_file_too(conf: Path, fixed: list[str], changes: list[str]) -> None:
    winner, choice = write(conf, fixed, *changes)
    assert choice is not None
    assert choice.split() == [*(one for one in fixed if one.startswith("env=")), "experiment=best"]
    found = Project(str(conf), choice.split(), None, conf.parent).spec
    for name in ("problem", "features", "model", "evaluation", "seed", "hardware"):
        assert getattr(found, name) == getattr(winner.spec, name), name


def test_a_plus_is_said_where_the_configuration_lists_no_experiment(conf: Path) -> None:
    main = conf / "config.yaml"
    main.write_text(main.read_text().replace("  - optional experiment: null\n", ""))
    assert write(conf, ["model=logistic"], "seed=2")[1] == "+experiment=best"


def test_what_no_file_can_say_is_not_written(conf: Path) -> None:
    assert write(conf, [f"~{TREES}.early_stopping_rounds"], "seed=2")[1] is None
