"""Which combination is tried next. It follows from the seed and the trials before, so a search can be gone on with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from proml_kedro.config.sweeps import Dimension
from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.space import Point, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as Draw

_TRIES = 20
"""How often another combination is drawn when one has been tried."""

LARGEST_GRID = 10_000
"""Combinations of a space that are listed."""


def propose(space: Space, facts: SearchFacts, trials: Sequence[Trial]) -> Point | None:
    """Choose the next combination.

    Args:
        space: What varies.
        facts: The search.
        trials: All trials that have begun, in their order.

    Returns:
        None when every combination has been tried.
    """
    number = len(trials) + 1
    if facts.sampler == "grid":
        return next(islice(space.grid(), number - 1, None), None)
    tried = {_key(one.point) for one in trials}
    if space.size is not None and len(tried) >= space.size:
        return None
    drawn: Point | None = None
    for drawn in _drawn(space, facts, trials):
        if _key(drawn) not in tried:
            return drawn
    if space.size is not None and space.size <= LARGEST_GRID:  # few are left
        left = [one for one in space.grid() if _key(one) not in tried]
        return left[seed_of(facts.seed, number, _TRIES) % len(left)]
    return drawn


def seed_of(seed: int, number: int, attempt: int = 0) -> int:
    """Return the seed of a trial's draw: other than the generator's state it outlives the process."""
    digest = hashlib.sha256(f"{seed} {number} {attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 2**31


def _key(point: Point) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(point.items()))


def _drawn(space: Space, facts: SearchFacts, trials: Sequence[Trial]) -> Iterator[Point]:
    study = as_study(space, facts, trials)
    for attempt in range(_TRIES):
        study.sampler = make_sampler(facts.sampler, seed_of(facts.seed, len(trials) + 1, attempt))
        trial = study.ask()
        point: dict[str, float] = {}
        for one in space.dimensions:
            keys = None if one.is_group else space.active_at(point)
            if one.is_group or (keys is not None and one.key in keys):
                point[one.key] = _suggest(trial, one)
        if space.active_at(point) is not None:
            yield point


def _suggest(trial: Draw, one: Dimension) -> float:
    if one.ordered:
        return float(trial.suggest_int(one.key, 0, len(one.values) - 1))
    if one.values:
        return float(trial.suggest_categorical(one.key, range(len(one.values))))
    if one.whole:
        return float(trial.suggest_int(one.key, int(one.low), int(one.high), log=one.logarithmic))
    return trial.suggest_float(one.key, one.low, one.high, log=one.logarithmic)


def make_sampler(name: str, seed: int) -> Any:
    """Make Optuna's sampler of a name."""
    from optuna.samplers import RandomSampler, TPESampler

    return TPESampler(seed=seed) if name == "tpe" else RandomSampler(seed=seed)


def distribution(dimension: Dimension) -> Any:
    """Return the distribution of Optuna that a dimension is; values of a list stand for their positions."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.ordered:
        return IntDistribution(0, len(dimension.values) - 1)
    if dimension.values:
        return CategoricalDistribution(range(len(dimension.values)))
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.logarithmic)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.logarithmic)


def as_study(space: Space, facts: SearchFacts, trials: Sequence[Trial]) -> Study:
    """Make a study of Optuna, in memory, of the trials that have a figure."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if facts.higher_is_better else "minimize")
    distributions = {one.key: (one, distribution(one)) for one in space.dimensions}
    sign = -1 if facts.higher_is_better else 1
    study.add_trials([_frozen(one, distributions, sign) for one in trials if one.value is not None or one.steps])
    return study


def _frozen(trial: Trial, distributions: dict[str, tuple[Dimension, Any]], sign: int) -> Any:
    """Make a trial of Optuna; of one that was ended early it takes how far that came, and how good it was then."""
    import optuna

    pruned, states = trial.state == "pruned", optuna.trial.TrialState
    steps = {step: sign * loss for step, loss in enumerate(trial.steps, 1)} if pruned else {}
    params: dict[str, Any] = {}
    for key, value in trial.point.items():
        dimension, _ = distributions[key]
        params[key] = int(value) if dimension.values or dimension.whole else value
    known = {key: distributions[key][1] for key in trial.point}
    return optuna.trial.create_trial(
        state=states.PRUNED if pruned else states.COMPLETE,
        params=params,
        distributions=known,
        value=trial.value,
        intermediate_values=steps,
    )
