"""Every file that is shipped in ``conf`` composes and is sound."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from proml_kedro.config import HydraConfigLoader
from proml_kedro.config.folders import shipped

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
CHOICES = sorted(f"{file.parent.relative_to(CONF).as_posix()}={file.stem}" for file in CONF.glob("*/**/*.yaml"))
PROBLEMS = {
    "job_game": "job_recommendations",
    "job_mixed": "job_recommendations",
    "job_ranker": "job_recommendations",
    "multi_task": "job_recommendations",
    "notebooks": "job_recommendations",
    "sequence": "job_histories",
    "two_tower": "job_recommendations",
}
"""Models and experiments of another problem than the one that `kedro run` takes when none is named."""


def of_model(name: str) -> list[str]:
    return [f"problem={PROBLEMS[name]}"] if name in PROBLEMS else []


def test_this_is_what_is_shipped():
    assert shipped().samefile(CONF)
    assert {choice.partition("=")[0] for choice in CHOICES} >= {"problem", "model", "features", "env", "experiment"}


def test_the_defaults_are_sound():
    run = HydraConfigLoader(CONF).loaded.run
    assert run.problem.name == "flight_delays"
    assert run.evaluation.baseline is not None


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_composes(choice):
    group, _, name = choice.partition("=")
    overrides = [choice, *(of_model(name) if group == "model" else [])]
    if group == "features":  # features belong to the problem of their name
        overrides.append(f"problem={name}")
    if group == "experiment" and name in PROBLEMS:
        overrides.append(f"problem={PROBLEMS[name]}")
    if group == "problem":
        overrides.append(f"features={name}")
    loader = HydraConfigLoader(CONF, runtime_params={"overrides": overrides})
    assert loader["catalog"]
    assert loader["parameters"]


@pytest.mark.parametrize("model", sorted(file.stem for file in (CONF / "model").glob("*.yaml")))
def test_every_model_can_be_the_baseline(model):
    overrides = [f"model@evaluation.baseline={model}", *of_model(model)]
    loader = HydraConfigLoader(CONF, runtime_params={"overrides": overrides})
    assert loader.loaded.run.evaluation.baseline.name == model


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: file.stem)
def test_files_are_short_enough_to_read(file):
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    assert yaml.safe_load(file.read_text()) is None or len(lines) <= 100
    assert max(map(len, lines)) <= 140


def test_no_secret_is_shipped():
    assert not list(CONF.rglob("credentials*"))
