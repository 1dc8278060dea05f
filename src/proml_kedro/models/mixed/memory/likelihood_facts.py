"""What must be known of a log likelihood before it is compared with that of another fit."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np

from proml_kedro.models.likelihoods import BOUND, Likelihood
from proml_kedro.models.mixed.effect_spec import RandomEffectSpec
from proml_kedro.models.mixed.memory.problem import FitProblem
from proml_kedro.models.mixed.spec import MixedSpec


def likelihood_of(problem: FitProblem, spec: MixedSpec, value: float, converged: bool) -> Likelihood:
    """Describe a log likelihood.

    Args:
        problem: Training rows and terms.
        spec: The component.
        value: The log likelihood.
        converged: Whether the fit has converged.
    """
    terms, linear = problem.terms, problem.loss == "linear"
    constant = {name for name, scale in terms.scales.items() if scale.constant}
    fixed = [name for name in terms.fixed_keys if name not in constant]
    levels = zip(terms.categories, terms.category_levels, terms.category_codes(problem.columns), strict=True)
    fixed += [
        f"{name} = {known.name(place)}"
        for name, known, (codes, _) in levels
        for place in range(0 if (codes < 0).any() else 1, len(known))
    ]
    random = [one for effect in spec.coefficients for one in _estimated(effect)]
    free = problem.previous is None and spec.penalty == 0 and spec.l1 == 0 and not spec.factors
    return Likelihood(
        value=value,
        kind=_kind(spec, linear),
        maximised=free and converged and (linear or spec.method == "laplace"),
        parameters=len(fixed) + len(random) + linear,
        rows=len(problem.label),
        labels=_digest(problem),
        fixed=sorted(fixed),
        random=sorted(random),
    )


def _kind(spec: MixedSpec, linear: bool) -> str:
    if linear:
        return "restricted"
    if spec.method == "variational":
        return BOUND
    return "laplace" if spec.nagq == 1 else f"quadrature of {spec.nagq} points"


def _estimated(effect: RandomEffectSpec) -> list[str]:
    """List the variances and covariances of an effect that are estimated."""
    if effect.variance is not None:
        return []
    title = " x ".join(sorted(effect.entity))
    names = [f"{title}: {feature}" for feature in effect.features]
    if effect.covariance == "diagonal":
        return names
    return names + [f"{title}: {a} with {b}" for a, b in combinations(sorted(effect.features), 2)]


def _digest(problem: FitProblem) -> str:
    """Hash labels, weights and offsets, in whatever order the rows are."""
    rows = np.stack([problem.label, problem.weight, problem.terms.offset(problem.columns)]).astype(np.float64)
    return hashlib.blake2b(rows[:, np.lexsort(rows)].tobytes(), digest_size=8).hexdigest()
