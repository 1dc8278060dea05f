"""Whatever is flipped, cut off, emptied or deleted: the next run's results are those of an undisturbed one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from faults import draw_coarsely
from proml_kedro import open_project, plots
from proml_kedro.artifacts import Artifact
from proml_kedro.project import Project

pytestmark = pytest.mark.e2e

QUICK = (
    "model.components.trees.num_boost_round=3",
    "evaluation.baseline.components.linear.inputs=[visit.pages]",
    "evaluation.compare.resamples=20",
)
READ = ("tables", "feature_tables", "training_set", "trained_model", "trained_baseline")
"""Results that evaluation rests on."""


def flip(file: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "flipped": flip,
    "emptied": lambda file: os.truncate(file, 0),
    "truncated": lambda file: os.truncate(file, file.stat().st_size - 1),
    "deleted": lambda file: file.unlink(),
}


@pytest.fixture
def project(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(plots, "_STYLE", {**plots._STYLE})
    draw_coarsely()
    return open_project(shop.folder, f"data_dir={shop.data}", *QUICK)


def contents(made: dict[str, Artifact]) -> dict[str, bytes]:
    return {f"{name}/{file.name}": file.read_bytes() for name in made for file in _files(made[name].path)}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def test_a_flipped_bit_in_each_result(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    made = project.run()
    check_each([(name, _files(made[name].path)[0]) for name in READ], project, made, caplog, "flipped")


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_of_each_result_in_turn(project: Project, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    made = project.run()
    files = [(name, file) for name in READ for file in _files(made[name].path)]
    assert len(files) > 8
    check_each(files, project, made, caplog, damage)


def check_each(
    files: list[tuple[str, Path]],
    project: Project,
    made: dict[str, Artifact],
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    """Damage each of the files of results in turn, and run again."""
    expected = contents(made)
    for name, file in files:
        for later in list(made)[list(made).index(name) + 1 :]:
            shutil.rmtree(made[later].path)  # so that the damaged result is read
        DAMAGES[damage](file)
        caplog.clear()
        assert contents(project.run()) == expected, file
        assert damage != "flipped" or f"'{file.relative_to(made[name].path)}' of" in caplog.text
