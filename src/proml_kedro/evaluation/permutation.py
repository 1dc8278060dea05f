"""What a model loses when an input is shuffled: permutation importance (Breiman 2001, "Random forests")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.evaluation.rates import Array
from proml_kedro.models.component import Columns

REPEATS = 5
MOST_ROWS = 4000


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


def losses_of(
    columns: Columns, label: Array, score: Callable[[Columns], Array], metric: str, seed: int, confidence: float
) -> Mapping[str, Loss]:
    """Shuffle one input after the other, and measure what a metric loses; the largest loss first.

    Args:
        columns: The inputs, n rows each.
        label: Shape (n,).
        score: The model.
        metric: By which the loss is measured.
        seed: Of the shuffles.
        confidence: Of the intervals.
    """
    from scipy import stats

    sign = 1.0 if higher_is_better(metric) else -1.0
    whole = Predictions(label, score(columns)).measure([metric])[metric]
    t = float(stats.t.ppf((1 + confidence) / 2, REPEATS - 1))
    found = {}
    for number, (name, values) in enumerate(columns.items()):
        generator = np.random.default_rng([seed, number])
        lost = [
            sign * (whole - Predictions(label, score({**columns, name: shuffled})).measure([metric])[metric])
            for shuffled in (values[generator.permutation(len(label))] for _ in range(REPEATS))
        ]
        half = t * float(np.std(lost, ddof=1)) / REPEATS**0.5
        mean = float(np.mean(lost))
        found[name] = Loss(mean, mean - half, mean + half)
    return dict(sorted(found.items(), key=lambda one: -one[1].mean))
