"""Notes on a fit: one line for each thing that the data cannot tell, or that the fit only approximates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import CEILING
from proml_kedro.models.mixed.effect_spec import RandomEffectSpec

NEGLIGIBLE = 0.02
"""Deviation, in standard deviations of a number or in units of the margin, below which an effect counts as none."""

_FEW = 5  # entities up to which a variance is hardly known
_SHOWN = 3  # names in one line
_LIGHT = 4  # rows for each that their weights add up to, from which on it is said


def listed(names: Sequence[str]) -> str:
    """Write some names, and how many more there are.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def of_weights(rows: int, total: float) -> Iterator[str]:
    """Say that weights add up to far fewer rows than there are: they count rows, and errors are as large as of so few.

    >>> list(of_weights(240, 1.0))
    ['weights of 240 rows add up to 1: a row of weight 2 counts as two rows, so errors are those of so few rows']

    Args:
        rows: Number of rows.
        total: Sum of their weights.
    """
    if total < rows / _LIGHT:
        yield (
            f"weights of {rows:,} rows add up to {total:.3g}: a row of weight 2 counts as two rows, so errors are "
            "those of so few rows"
        )


def of_no_convergence(done: str, what: str, last: Mapping[str, float]) -> str:
    """Say that a fit stopped too early, and how far it was from rest.

    >>> of_no_convergence("2 steps", "margins", {"step": 0.03, "change": 0.125})[:70]
    'stopped after 2 steps without converging: the last moved margins by 0.'

    Args:
        done: How many steps were taken.
        what: What a step moves.
        last: Size of the last ``step``, and relative ``change`` of variances, infinite before there are two of them.
    """
    far = f"{last['change']:.1%}" if math.isfinite(last["change"]) else "an amount that one step cannot tell"
    moved = f"the last moved {what} by {last['step']:.2g}, and variances by {far}"
    return f"stopped after {done} without converging: {moved}; raise max_iterations to go on"


def of_covariance(effect: RandomEffectSpec, covariance: Array, unit: float) -> Iterator[str]:
    """Say where an estimated covariance lies at the edge of what is possible (``isSingular`` of lme4).

    Args:
        effect: The random effect.
        covariance: Covariance over entities, shape (d, d).
        unit: Unit in which margins were fitted.
    """
    if effect.variance is not None:
        return
    deviations: Array = np.sqrt(np.diag(covariance)) / unit
    none = [name for name, one in zip(effect.features, deviations, strict=True) if one < NEGLIGIBLE]
    bound = [name for name, one in zip(effect.features, deviations, strict=True) if one > 0.99 * math.sqrt(CEILING)]
    if none:
        yield (
            f"singular: the deviation of {effect.title} {listed(none)} is practically zero; nothing is lost by "
            "leaving it out"
        )
    elif np.linalg.eigvalsh(covariance)[0] < (NEGLIGIBLE * unit) ** 2:
        yield (
            f"singular: coefficients of {effect.title} are estimated as perfectly correlated; `covariance: diagonal` "
            "or fewer features can be estimated"
        )
    if bound:
        yield (
            f"the deviation of {effect.title} {listed(bound)} is at its bound of {math.sqrt(CEILING):g}: entities "
            "determine labels (separation), and its size is not known"
        )


def of_counts(effect: RandomEffectSpec, entities: int, rows: float, one_row_says_nothing: bool) -> Iterator[str]:
    """Say where there are too few entities, or too few rows of each, to estimate a covariance.

    Args:
        effect: The random effect.
        entities: Number of entities with rows.
        rows: Number of rows that have an entity.
        one_row_says_nothing: Whether a row's own effect cannot be told from the noise of its label.
    """
    if effect.variance is not None or not entities:
        return
    if entities == 1:
        yield f"{effect.title} has one entity: its variance cannot be estimated"
    elif one_row_says_nothing and rows <= entities * len(effect.features):
        what = "one row" if rows <= entities else f"no more rows than its {len(effect.features)} coefficients"
        yield f"{effect.title} has {what} an entity: its variance cannot be told from that of the labels"
    elif entities <= _FEW:
        yield (
            f"{effect.title} has {entities} entities: its variance is hardly known, and standard errors of what "
            "differs between them are too small"
        )
