"""The learning rate at a moment of training."""

from __future__ import annotations

import math

from proml_kedro.models.deep.training_spec import DeepTrainingSpec, ScheduleSpec


def learning_rate(spec: DeepTrainingSpec, progress: float) -> float:
    """Compute the learning rate.

    >>> from proml_kedro.models.deep.training_spec import DeepTrainingSpec
    >>> falling = DeepTrainingSpec(epochs=10, learning_rate={"schedule": "linear", "start": 0.1, "end": 0.02})
    >>> [round(learning_rate(falling, progress), 3) for progress in (0, 5, 10)]
    [0.1, 0.06, 0.02]

    Args:
        spec: How it changes over all declared epochs.
        progress: Epochs done, with the fraction of the present one.
    """
    rate = spec.learning_rate
    if not isinstance(rate, ScheduleSpec):
        return rate
    if progress < rate.warmup:
        return max(rate.end, rate.start * progress / rate.warmup)
    share = min(1.0, (progress - rate.warmup) / max(spec.epochs - rate.warmup, 1e-9))
    if rate.schedule == "exponential":
        return float(rate.start * (rate.end / rate.start) ** share)
    fallen = 0.5 * (1 - math.cos(math.pi * share)) if rate.schedule == "cosine" else share
    return rate.start + (rate.end - rate.start) * fallen
