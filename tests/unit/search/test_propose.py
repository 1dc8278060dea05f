"""Which combination is next, held to a study of Optuna itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from proml_kedro.config.folders import Folders
from proml_kedro.config.sweeps import read_sweeps
from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.importance import importance
from proml_kedro.search.propose import propose, seed_of
from proml_kedro.search.space import Space


def space_of(*arguments: str) -> Space:
    _, dimensions, mistakes = read_sweeps(arguments, Folders(Path("nowhere")))
    assert not mistakes
    keys = tuple(one.key for one in dimensions)
    return Space(tuple(dimensions), {(): frozenset(keys)}, keys)


def facts_of(sampler: str, higher: bool = True) -> SearchFacts:
    return SearchFacts(
        problem="p",
        model="m",
        metric="auc",
        higher_is_better=higher,
        space=(),
        overrides=(),
        sampler=sampler,
        seed=3,
        made_from="",
    )


def searched(space: Space, facts: SearchFacts, count: int, figure: Any) -> list[Trial]:
    trials: list[Trial] = []
    for number in range(1, count + 1):
        point = propose(space, facts, trials)
        if point is None:
            break
        value = figure(**point)
        state = "failed" if value is None else "done"
        trials.append(Trial(number=number, point=point, overrides=space.overrides(point), state=state, value=value))
    return trials


def hill(a: float, b: float, c: float, d: float) -> float | None:
    return None if b == 2 and a < 0.02 else -((a - 0.3) ** 2) - (b - 4) ** 2 / 50 + (c == 1) - abs(d - 20) / 100


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("higher", [True, False])
def test_it_is_what_a_study_of_optuna_asks_for(sampler: str, higher: bool) -> None:
    space = space_of("a=tag(log,interval(0.001,1))", "b=range(0,8)", "c=x,y,z", "d=int(interval(1,40))")
    ours = searched(space, facts_of(sampler, higher), 40, hill)
    kind = optuna.samplers.TPESampler if sampler == "tpe" else optuna.samplers.RandomSampler
    study = optuna.create_study(direction="maximize" if higher else "minimize")
    for one in ours:
        study.sampler = kind(seed=seed_of(3, one.number))
        trial = study.ask()
        point = {
            "a": trial.suggest_float("a", 0.001, 1, log=True),
            "b": trial.suggest_int("b", 0, 7),
            "c": trial.suggest_categorical("c", range(3)),
            "d": trial.suggest_int("d", 1, 40),
        }
        assert point == one.point
        value = hill(**point)
        study.tell(trial, value, state=optuna.trial.TrialState.FAIL if value is None else None)
    assert any(one.state == "failed" for one in ours) or sampler == "tpe"
    assert (
        study.best_trial.number + 1
        == max(
            (one for one in ours if one.value is not None), key=lambda one: (one.value or 0) * (1 if higher else -1)
        ).number
    )


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_every_combination_is_tried_once_and_then_there_is_none(sampler: str) -> None:
    space = space_of("a=range(0,6)", "b=x,y,z,w")
    trials = searched(space, facts_of(sampler), 100, lambda a, b: a - b)
    assert len({tuple(sorted(one.point.items())) for one in trials}) == len(trials) == 24


def test_it_learns_from_trials() -> None:
    space = space_of("a=interval(0,1)", "b=interval(0,1)")

    def figure(a: float, b: float) -> float:
        return -((a - 0.7) ** 2) - (b - 0.2) ** 2

    found = {
        name: max(one.value or 0 for one in searched(space, facts_of(name), 60, figure)) for name in ("tpe", "random")
    }
    assert found["tpe"] > found["random"]


@pytest.mark.slow
def test_what_matters_is_told_from_what_does_not() -> None:
    space = space_of("a=interval(0,1)", "b=interval(0,1)")
    trials = searched(space, facts_of("random"), 60, lambda a, b: 10 * a + 0.1 * b)
    shares = importance(space, facts_of("random"), trials)
    assert shares["a"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(space, facts_of("random"), trials[:1]) == {}
