"""How many clusters it takes to see a difference."""

from __future__ import annotations

import math

from proml_kedro.evaluation.result import Difference
from proml_kedro.evaluation.significance import FEW

POWER = 0.8
"""Share of test periods in which a difference is to be seen."""


def clusters_needed(one: Difference, clusters: int, size: float, confidence: float) -> int | None:
    """Estimate how many clusters it takes to see a difference of some size in 80 % of test periods.

    The standard error falls with the root of their number; z² formula of Cohen 1988, "Statistical Power Analysis".

    Args:
        one: A difference that was seen.
        clusters: From so many clusters.
        size: The size to be seen, not 0.
        confidence: Of the interval that is not to hold 0.

    Returns:
        None where nothing is known of the standard error, or both models are the same.
    """
    from scipy.special import ndtri

    if not math.isfinite(one.standard_error) or one.standard_error == 0 or size == 0:
        return None
    needed = float(ndtri((1 + confidence) / 2) + ndtri(POWER)) * one.standard_error / abs(size)
    return max(math.ceil(clusters * needed**2), int(FEW))
