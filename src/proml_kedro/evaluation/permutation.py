"""What a model loses when an input is shuffled: permutation importance (Breiman 2001, "Random forests")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rates import Array
from proml_kedro.models.component import Columns

REPEATS = 5
MOST_INPUTS = 60
_MOST_ROWS, _FEWEST_ROWS, _SCORED = 4000, 500, 200_000


def rows_for(inputs: int) -> int:
    """Say how many rows to shuffle, so that what is scored does not grow with the number of inputs."""
    return min(_MOST_ROWS, max(_FEWEST_ROWS, _SCORED // (max(inputs, 1) * REPEATS)))


@dataclass(frozen=True)
class Loss:
    """What shuffling an input costs, above 0 where the model is worse without it.

    Attributes:
        mean: Over the shuffles.
        low: Lower end of the interval, Student's t over the shuffles.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


Judge = tuple[Array, Callable[[Columns], Array], str]
"""The label of each row, shape (n,); the model; the metric."""


def losses_of(columns: Columns, names: Sequence[str], judge: Judge, seed: int, confidence: float) -> Mapping[str, Loss]:
    """Shuffle one input after the other, and measure what a metric loses; the largest loss first.

    Args:
        columns: The inputs, n rows each.
        names: Which of them to shuffle.
        judge: What the loss is measured by.
        seed: Of the shuffles.
        confidence: Of the intervals.
    """
    from scipy import stats

    label, score, metric = judge
    sign = 1.0 if higher_is_better(metric) else -1.0
    whole = Predictions(label, score(columns)).measure([metric])[metric]
    t = float(stats.t.ppf((1 + confidence) / 2, REPEATS - 1))
    found = {}
    for number, name in enumerate(names):
        values = columns[name]
        generator = np.random.default_rng([seed, number])
        lost = [
            sign * (whole - Predictions(label, score({**columns, name: shuffled})).measure([metric])[metric])
            for shuffled in (values[generator.permutation(len(label))] for _ in range(REPEATS))
        ]
        half = t * float(np.std(lost, ddof=1)) / REPEATS**0.5
        mean = float(np.mean(lost))
        found[name] = Loss(mean, mean - half, mean + half)
    return dict(sorted(found.items(), key=lambda one: -one[1].mean))
