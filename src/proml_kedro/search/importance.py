"""How much each dimension of a search matters."""

from __future__ import annotations

from collections.abc import Sequence

from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.propose import as_study
from proml_kedro.search.space import Space

ENOUGH = 30
"""Trials below which importances are noise."""


def comparable(space: Space, trials: Sequence[Trial], best: Trial) -> list[Trial]:
    """Return the trials of the same files as the best one, or all where nothing but files varies."""
    groups = [one.key for one in space.groups]
    found = [one for one in trials if all(one.point[key] == best.point[key] for key in groups)]
    return found if len(best.point) > len(groups) else list(trials)


def importance(space: Space, facts: SearchFacts, trials: Sequence[Trial]) -> dict[str, float]:
    """Estimate the share of each dimension in the variance of the figures.

    By functional ANOVA of random forests (Hutter et al., ICML 2014), as Optuna has it. Only dimensions that every trial
    has are told; none where there are fewer than two figures, or all are equal.
    """
    import optuna

    found = [one for one in trials if one.value is not None and one.state == "done"]
    if len({one.value for one in found}) < 2:
        return {}
    common = set.intersection(*(set(one.point) for one in found))
    varied = [key for key in common if len({one.point[key] for one in found}) > 1]
    if not varied:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    study = as_study(space, facts, found)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=sorted(varied))
    return {key: float(value) for key, value in shares.items()}
