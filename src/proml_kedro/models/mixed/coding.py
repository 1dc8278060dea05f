"""Coding in which effects are reported: raw units of numbers, and levels of a text less its first one.

Fitted are standardised numbers, and a coefficient for each level of a text, of which one can be had for another and the
intercept but for the penalty. What is reported is a linear function of them that data determine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.models.component import Array
from proml_kedro.models.effects import Contrast
from proml_kedro.models.mixed.effect_spec import INTERCEPT, RandomEffectSpec
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.fitted import FittedFixed
from proml_kedro.models.mixed.terms import Terms

Floats = npt.NDArray[np.float64]

MISSING = "(missing)"
"""Name of the level of rows without one, where training rows lacked it."""


class Coefficient(NamedTuple):
    """Name of a reported coefficient: an input, and the level of a text."""

    name: str
    level: str | None = None

    @property
    def title(self) -> str:
        """Name in tables and contrasts."""
        return self.name if self.level is None else f"{self.name} = {self.level}"


@dataclass(frozen=True)
class Coding:
    """Linear map from the fitted fixed effects to the reported ones.

    Attributes:
        names: The reported coefficients.
        matrix: Shape (reported, fitted). The row of a reference level is zero.
    """

    names: list[Coefficient]
    matrix: Floats

    @classmethod
    def of(cls, terms: Terms, lacking: list[bool], raw: bool) -> Coding:
        """Make the coding.

        Args:
            terms: Encodings of the model.
            lacking: For each text whether training rows lacked it.
            raw: Whether coefficients are for one unit of a number, and the intercept is at zero; else for a standard
                deviation, and at the means.
        """
        keys = terms.fixed_keys
        width = len(keys) + sum(len(levels) for levels in terms.category_levels)
        matrix = np.zeros((len(keys), width))
        matrix[:, : len(keys)] = np.eye(len(keys))
        for position, name in enumerate(keys):
            if raw and (scale := terms.scales.get(name)) is not None:
                matrix[position] /= scale.deviation
                matrix[0, position] -= scale.mean / scale.deviation
        names, rows, start = [Coefficient(one) for one in keys], [matrix], len(keys)
        for name, levels, missing in zip(terms.categories, terms.category_levels, lacking, strict=True):
            count = len(levels)
            part = np.zeros((count + missing, width))
            part[:count, start : start + count] = np.eye(count)
            if count:
                part[:, start] -= 1.0
                matrix[0, start] += 1.0
            names += [Coefficient(name, levels.name(place)) for place in range(count)]
            names += [Coefficient(name, MISSING)] * missing
            rows.append(part)
            start += count
        return cls(names, np.concatenate(rows))

    def apply(self, fixed: FittedFixed) -> tuple[Floats, Floats]:
        """Compute the reported coefficients, shape (reported,), and their covariance."""
        values = np.concatenate([fixed.numbers, *fixed.categories])
        return self.matrix @ values, self.matrix @ np.asarray(fixed.covariance) @ self.matrix.T

    def freedom(self, fixed: FittedFixed) -> list[float | None]:
        """Compute the degrees of freedom of each reported coefficient over its error; None for a normal one."""
        return [degrees_of_freedom(row, fixed) for row in self.matrix]


def degrees_of_freedom(combination: Array, fixed: FittedFixed) -> float | None:
    """Compute the degrees of freedom of a combination c of the fitted fixed effects (Satterthwaite, 1946).

    Args:
        combination: Shape (fitted,).
        fixed: Fitted fixed effects.

    Returns:
        Twice the square of c'Vc over the variance of c'Vc; None where that is not known, or nothing.
    """
    if fixed.gradients is None or fixed.covariance is None:
        return None
    variance = float(combination @ fixed.covariance @ combination)
    uncertain = float((np.einsum("a,rab,b->r", combination, fixed.gradients, combination) ** 2).sum())
    return 2 * variance**2 / uncertain if uncertain > 0 else None


def restricted_shift(coding: Coding, covariance: Array) -> float:
    """Compute what the coding adds to a restricted log likelihood, which depends on that of the fixed effects.

    Args:
        coding: Coding of the fixed effects.
        covariance: Posterior covariance of the fitted ones, shape (fitted, fitted).
    """
    used = coding.matrix[coding.matrix.any(axis=1)]
    reported, fitted = np.linalg.slogdet(used @ covariance @ used.T)[1], np.linalg.slogdet(covariance)[1]
    return float((reported - fitted) / 2 + (len(used) - len(covariance)) * np.log(2 * np.pi) / 2)


def raw_population(effect: RandomEffectSpec, covariance: Array, scales: Mapping[str, Scale]) -> Floats:
    """Convert the covariance of a random effect to raw units, intercepts at zero of the numbers; shape (d, d)."""
    change: Floats = np.eye(len(effect.features))
    centred = effect.features.index(INTERCEPT) if INTERCEPT in effect.features else None
    for k, name in enumerate(effect.features):
        if name != INTERCEPT:
            scale = scales[name]
            if centred is None:
                change[k, k] = 1.0 / scale.size
            else:
                change[k, k] = 1.0 / scale.deviation
                change[centred, k] = -scale.mean / scale.deviation
    return np.asarray(change @ covariance @ change.T)


def contrast(coding: Coding, fixed: FittedFixed, text: str) -> Contrast:
    """Compute a linear combination of reported coefficients, and its standard error.

    Args:
        coding: Coding of the fixed effects.
        fixed: Fitted fixed effects, with their covariance.
        text: Such as ``city = Lima - city = Oslo``, ``Lima - Oslo`` or ``2 * price + intercept``.

    Raises:
        UserError: A name in it is not known, or stands for several coefficients.
    """
    weights = np.zeros(len(coding.names))
    for factor, position in _parse(coding, text):
        weights[position] += factor
    values, covariance = coding.apply(fixed)
    variance = max(float(weights @ covariance @ weights), 0.0)
    df = degrees_of_freedom(weights @ coding.matrix, fixed)
    return Contrast(text, float(weights @ values), math.sqrt(variance), df)


_TERM = re.compile(r"\s*([+-]?)\s*(?:(\d+(?:\.\d+)?)\s*\*\s*)?")


def _parse(coding: Coding, text: str) -> Iterator[tuple[float, int]]:
    """Read terms from left to right, each name as long as possible: levels may hold blanks and signs."""
    known = _spellings(coding)
    by_length = sorted(known, key=lambda one: len(one), reverse=True)
    rest, first = text.strip(), True
    while rest:
        match = _TERM.match(rest)
        sign, factor = match.groups() if match else ("", None)
        rest = rest[match.end() :] if match else rest
        name = next((one for one in by_length if rest.startswith(one) and _ends(rest[len(one) :])), None)
        if name is None or not (sign or first):
            raise UserError(Mistake("", unknown("fixed effect", rest, known), "option --contrast"))
        if len(known[name]) > 1:
            several = ", ".join(coding.names[k].title for k in known[name])
            raise UserError(Mistake("", f"'{name}' is one of: {several}", "option --contrast"))
        yield (-1.0 if sign == "-" else 1.0) * float(factor or 1.0), known[name][0]
        rest, first = rest[len(name) :].strip(), False
    if first:
        raise UserError(Mistake("", "is empty; write the difference of two fixed effects", "option --contrast"))


def _ends(rest: str) -> bool:
    return not rest.strip() or re.match(r"\s+[+-]", rest) is not None


def _spellings(coding: Coding) -> dict[str, list[int]]:
    """List the ways to write each coefficient: ``city = Lima``, ``city=Lima``, and ``Lima`` alone."""
    known: dict[str, list[int]] = {}
    for position, one in enumerate(coding.names):
        ways = [one.name] if one.level is None else [one.title, f"{one.name}={one.level}", one.level]
        for way in dict.fromkeys(ways):
            known.setdefault(way, []).append(position)
    return known
