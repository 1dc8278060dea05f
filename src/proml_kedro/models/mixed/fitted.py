"""Fitted model, and its files: one array for each term, memory-mapped when it is loaded again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.spec import Loss


@dataclass
class FittedEffect:
    """Fitted random effect.

    Attributes:
        means: Posterior means of the coefficients of each entity, float32 of shape (entities, d).
        covariances: Posterior covariances, float32 of shape (entities, d, d).
        rows: Number of training rows of each entity, by weight, float32 of shape (entities,).
        population: Covariance of the coefficients over entities, shape (d, d).
        digests: Hash of the rows of each entity (:mod:`.row_hashes`), uint64 of shape (entities,); None where it was
            not kept.
        averaged: Posterior covariances by which scores are averaged, as the likelihood was in the fit, float32 of shape
            (entities, d, d): given the coefficients that the entity's rows are fitted together with, whose own
            uncertainty cancels that of the entity. None where they are ``covariances``.
    """

    means: Array
    covariances: Array
    rows: Array
    population: Array
    digests: Array | None = None
    averaged: Array | None = None

    def __len__(self) -> int:
        return len(self.means)

    def in_float32(self) -> FittedEffect:
        """Convert to the precision in which it is saved."""
        means, covariances, rows = (one.astype(np.float32) for one in (self.means, self.covariances, self.rows))
        averaged = None if self.averaged is None else self.averaged.astype(np.float32)
        return FittedEffect(means, covariances, rows, self.population, self.digests, averaged)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Iterate over the arrays by entity, each with the name of its file."""
        yield "coefficients", self.means
        yield "covariances", self.covariances
        yield "rows", self.rows
        if self.digests is not None:
            yield "digests", self.digests
        if self.averaged is not None:
            yield "averaged", self.averaged

    @classmethod
    def load(cls, folder: Path, position: int, population: Array) -> Self:
        """Map the arrays of the random effect at a position."""
        files = (folder / f"effect_{position}.{name}.npy" for name in ("digests", "averaged"))
        digests, averaged = (map_array(one) if one.exists() else None for one in files)
        means, covariances, rows = (
            map_array(folder / f"effect_{position}.{name}.npy") for name in ("coefficients", "covariances", "rows")
        )
        return cls(means, covariances, rows, population, digests, averaged)


@dataclass
class FittedFactors:
    """Fitted interaction of low rank.

    Attributes:
        means: Posterior means of the factors, float32 of shape (places, rank). The levels of a field follow each
            other; after them comes one place for an unknown level.
        variances: Posterior variances, of the same shape.
        starts: First place of each field, and then the number of places.
    """

    means: Array
    variances: Array
    starts: list[int]

    def __len__(self) -> int:
        return len(self.means)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Iterate over the arrays, each with the name of its file."""
        yield "means", self.means
        yield "variances", self.variances

    def spread(self) -> npt.NDArray[np.float64]:
        """Compute the variance that each dimension adds to the margin of levels drawn at random; shape (rank,)."""
        squares = [
            (self.means[first : stop - 1].astype(np.float64) ** 2 + self.variances[first : stop - 1]).mean(0)
            for first, stop in pairwise(self.starts)
        ]
        return np.asarray(np.sum([one * other for one, other in combinations(squares, 2)], axis=0))

    def moments(self, codes: list[npt.NDArray[np.int32]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Compute posterior mean and variance of the interaction in each row, shape (n,) each.

        The equations are those of :mod:`.memory.kernels.interactions`.

        Args:
            codes: For each field the level of each row, -1 for none.
        """
        places = [
            np.where(code < 0, stop - 1, start + code)
            for code, (start, stop) in zip(codes, pairwise(self.starts), strict=True)
        ]
        t = np.stack([self.means[one].astype(np.float64) for one in places], axis=1)  # (n, fields, rank)
        v = np.stack([self.variances[one].astype(np.float64) for one in places], axis=1)
        total = t.sum(1, keepdims=True)
        mean = ((total**2).sum((1, 2)) - (t**2).sum((1, 2))) / 2
        pairs = (v.sum(1) ** 2 - (v**2).sum(1)).sum(1) / 2
        return mean, (v * (total - t) ** 2).sum((1, 2)) + pairs

    @classmethod
    def load(cls, folder: Path, position: int, starts: list[int]) -> Self:
        """Map the arrays of the interaction at a position."""
        means, variances = (map_array(folder / f"factors_{position}.{name}.npy") for name in ("means", "variances"))
        return cls(means, variances, starts)


@dataclass
class FittedFixed:
    """Fitted fixed effects.

    Attributes:
        numbers: Coefficients of the intercept, the numbers, and the indicators of missing numbers, shape (p,).
        errors: Standard errors, 0 for coefficients that an ``l1`` holds at zero.
        categories: Coefficients of each categorical input, float32 of shape (levels,).
        category_errors: Standard errors of the same.
        covariance: Posterior covariance of all, numbers first, float64 of shape (fitted, fitted); None where it was not
            computed, or an ``l1`` holds coefficients.
        lacking: For each categorical input whether training rows lacked it.
        gradients: Gradients of the covariance by independent variance parameters of standard deviation 1, shape
            (parameters, fitted, fitted); None where coefficients over errors are taken as normal.
    """

    numbers: Array = field(default_factory=lambda: np.zeros(1))
    errors: Array = field(default_factory=lambda: np.zeros(1))
    categories: list[Array] = field(default_factory=list)
    category_errors: list[Array] = field(default_factory=list)
    covariance: Array | None = None
    lacking: list[bool] = field(default_factory=list)
    gradients: Array | None = None


@dataclass
class FittedModel:
    """Fitted coefficients: all that scoring needs beside the encodings of the terms.

    Attributes:
        loss: Loss that was minimised.
        fixed: Fixed effects.
        effects: Random effects with coefficients.
        factors: Interactions of low rank.
        dispersion: Variance of a label around its mean, with ``linear``; else 1.
        importance: Share of each input.
        facts: Facts about the fit, for the summary.
        at_mode: Whether labels were fitted at the mode of the effects: rows of known entities are then scored there,
            because an average over the posterior would not add up to the labels.
    """

    loss: Loss = "logistic"
    fixed: FittedFixed = field(default_factory=FittedFixed)
    effects: list[FittedEffect] = field(default_factory=list)
    factors: list[FittedFactors] = field(default_factory=list)
    dispersion: float = 1.0
    importance: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    at_mode: bool = False

    def save(self, folder: Path) -> None:
        """Write ``model.json``, and ``.npy`` files that can be memory-mapped."""
        for kind, known in (("coefficients", self.fixed.categories), ("errors", self.fixed.category_errors)):
            for k, values in enumerate(known):
                np.save(folder / f"category_{k}.{kind}.npy", values, allow_pickle=False)
        if self.fixed.covariance is not None:
            np.save(folder / "fixed_covariance.npy", self.fixed.covariance, allow_pickle=False)
        if self.fixed.gradients is not None:
            np.save(folder / "fixed_gradients.npy", self.fixed.gradients, allow_pickle=False)
        kinds: dict[str, Sequence[FittedEffect | FittedFactors]] = {"effect": self.effects, "factors": self.factors}
        for kind, terms in kinds.items():
            for k, term in enumerate(terms):
                for name, array in term.arrays():
                    np.save(folder / f"{kind}_{k}.{name}.npy", array, allow_pickle=False)
        model = {
            "loss": self.loss,
            "fixed": self.fixed.numbers.tolist(),
            "fixed_errors": self.fixed.errors.tolist(),
            "lacking": self.fixed.lacking,
            "dispersion": self.dispersion,
            "covariances": [one.population.tolist() for one in self.effects],
            "factors": [one.starts for one in self.factors],
            "importance": self.importance,
            "facts": self.facts,
            "at_mode": self.at_mode,
        }
        (folder / "model.json").write_text(json.dumps(model))

    @classmethod
    def load(cls, folder: Path, categories: int) -> Self:
        """Load what :meth:`save` wrote, given the number of categorical fixed effects.

        Processes share the arrays by entity, and read only what they look up.
        """
        model = json.loads((folder / "model.json").read_text())
        coefficients, errors = (
            [map_array(folder / f"category_{k}.{kind}.npy") for k in range(categories)]
            for kind in ("coefficients", "errors")
        )
        numbers, number_errors = np.array(model["fixed"]), np.array(model["fixed_errors"])
        covariance, gradients = (
            map_array(kept) if (kept := folder / f"fixed_{name}.npy").exists() else None
            for name in ("covariance", "gradients")
        )
        return cls(
            model["loss"],
            FittedFixed(numbers, number_errors, coefficients, errors, covariance, model.get("lacking", []), gradients),
            [FittedEffect.load(folder, k, np.array(one)) for k, one in enumerate(model["covariances"])],
            [FittedFactors.load(folder, k, starts) for k, starts in enumerate(model["factors"])],
            model["dispersion"],
            model["importance"],
            model["facts"],
            model.get("at_mode", False),
        )


def map_array(file: Path) -> Array:
    """Map an array whose content is read when it is looked at.

    The result is a plain array over the mapping: NumPy indexes it faster than ``numpy.memmap`` itself.
    """
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
