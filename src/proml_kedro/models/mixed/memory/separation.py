"""Separation: fixed effects that predict labels perfectly, so that their likelihood has no maximum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.memory.fit_result import InMemoryFit
from proml_kedro.models.mixed.memory.problem import FitProblem
from proml_kedro.models.mixed.notes import listed

_LARGE, _UNSURE = 3.0, 1.0  # a coefficient or standard error per deviation from which on separation is looked for
_ROWS = 2_000  # constraints that are added at once
_ROUNDS = 20
_ZERO = 1e-7


def separation_notes(problem: FitProblem, fit: InMemoryFit) -> Iterator[str]:
    """Say which fixed effects have no finite estimate but for the penalty.

    Args:
        problem: Training rows and terms.
        fit: What was fitted to them.
    """
    if problem.loss == "linear" or problem.plan.fixed_locked:
        return
    highest = 1.0 if problem.loss == "logistic" else np.inf
    if (problem.label == 0).all() or (problem.label == highest).all():
        yield f"all labels are {problem.label[0]:g}: nothing but the priors keeps the intercept finite"
        return
    terms = problem.terms
    known = zip(terms.categories, terms.category_codes(problem.columns), terms.category_levels, strict=True)
    for name, (codes, levels), names in known:
        alike = [names.name(int(k)) for k in np.flatnonzero(_of_one_class(codes, levels, problem.label, highest))]
        if alike:
            yield (
                f"separation: all labels of {name} = {listed(alike)} are alike; the coefficient is as large as "
                "`penalty` allows"
            )
    large = (np.abs(fit.fixed[1:]) > _LARGE) | (fit.fixed_errors[1:] > _UNSURE)
    if problem.loss == "logistic" and large.any() and np.isin(problem.label, (0, 1)).all():
        numbers = terms.fixed(problem.columns)
        if found := separating(numbers, problem.label == 1):
            yield (
                f"separation: {listed([terms.fixed_keys[k] for k in found])} predicts labels perfectly; the "
                "coefficient is as large as `penalty` allows, and its standard error says nothing"
            )


def _of_one_class(codes: Array, levels: int, label: Array, highest: float) -> npt.NDArray[np.bool_]:
    """Mark the levels whose labels are all lowest or all highest; shape (levels,)."""
    known = codes >= 0
    rows = np.bincount(codes[known], minlength=levels)
    lowest = np.bincount(codes[known], label[known] == 0, levels)
    top = np.bincount(codes[known], label[known] == highest, levels)
    return np.asarray((rows > 0) & ((lowest == rows) | (top == rows)))


def separating(numbers: Array, positive: Array) -> list[int]:
    """Find the columns of a direction that separates the classes, completely or but for ties (Konis, 2007).

    It maximises the mean of s_i x_i'b where all s_i x_i'b are at least 0, s_i being the sign of the label and b in
    [-1, 1]; the greatest is above 0 if, and only if, the classes are separated. Rows become constraints as they are
    violated.

    Args:
        numbers: Shape (n, p), a column of ones first.
        positive: Class of each row, shape (n,).

    Returns:
        Columns that take part, without the first; none where the classes overlap.
    """
    from scipy.optimize import linprog

    signed = np.where(positive, 1.0, -1.0)[:, None] * numbers
    goal = signed.mean(0)
    chosen: Sequence[int] = range(0, len(signed), max(1, len(signed) // _ROWS))
    used = np.zeros(len(signed), np.bool_)
    used[list(chosen)] = True
    for _ in range(_ROUNDS):
        found = linprog(-goal, A_ub=-signed[used], b_ub=np.zeros(int(used.sum())), bounds=(-1, 1), method="highs")
        if found.x is None or -found.fun < _ZERO:
            return []
        margins = signed @ found.x
        wrong = np.flatnonzero((margins < -_ZERO) & ~used)
        if not len(wrong):
            return [int(k) for k in np.flatnonzero(np.abs(found.x) > 1e-6) if k > 0]
        used[wrong[np.argsort(margins[wrong])[:_ROWS]]] = True
    return []
