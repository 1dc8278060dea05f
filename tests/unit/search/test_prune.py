"""Which trials end early, held to Optuna's own pruners."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest

from proml_kedro.results.trial import Trial
from proml_kedro.search.prune import PrunedError, Watcher
from proml_kedro.spec.search import Pruning

CURVES = np.random.default_rng(0).normal(size=(25, 1)) * 0.3 + np.exp(-np.arange(100) / 30)
CURVES = CURVES + np.random.default_rng(1).normal(size=CURVES.shape) * 0.05


def ours(pruning: Pruning) -> list[Trial]:
    trials: list[Trial] = []
    for number, curve in enumerate(CURVES, 1):
        watcher, state = Watcher(pruning, trials), "done"
        try:
            for loss in curve[: 40 + number]:
                watcher("logloss", float(loss))
        except PrunedError:
            state = "pruned"
        trials.append(
            Trial(number=number, point={}, overrides=(), state=state, curve="logloss", steps=tuple(watcher.losses))
        )
    return trials


def theirs(pruner: Any) -> list[tuple[str, int]]:
    study = optuna.create_study(direction="minimize", pruner=pruner)
    found = []
    for number, curve in enumerate(CURVES, 1):
        trial, ended = study.ask(), "done"
        for step, loss in enumerate(curve[: 40 + number], 1):
            trial.report(float(loss), step)
            if trial.should_prune():
                ended = "pruned"
                break
        state = optuna.trial.TrialState.PRUNED if ended == "pruned" else None
        study.tell(trial, None if state else float(loss), state=state)
        found.append((ended, step))
    return found


@pytest.mark.parametrize(
    ("pruning", "pruner"),
    [
        ("median", optuna.pruners.MedianPruner()),
        ("asha", optuna.pruners.SuccessiveHalvingPruner(min_resource=10, reduction_factor=3)),
    ],
)
def test_trials_end_where_those_of_optuna_end(pruning: Pruning, pruner: Any) -> None:
    found = [(one.state, len(one.steps)) for one in ours(pruning)]
    assert found == theirs(pruner)
    assert {state for state, _ in found} == {"done", "pruned"}


def test_curves_of_other_figures_are_not_compared() -> None:
    other = Trial(number=1, point={}, overrides=(), state="done", curve="auc", steps=(-0.9,) * 20)
    for pruning in ("median", "asha"):
        watcher = Watcher(pruning, [other] * 9)  # type: ignore[arg-type]
        for _ in range(20):
            watcher("logloss", 0.7)
