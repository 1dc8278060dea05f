"""What a mixed model has learned, and its files: arrays by term, memory-mapped when they are read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.spec import Loss


@dataclass
class Effect:
    """A random effect.

    Attributes:
        means: Of the posterior of each entity's coefficients, float32 of shape (entities, d).
        covariances: Of the same, float32 of shape (entities, d, d).
        rows: How many rows stand behind each entity, float32 of shape (entities,).
        population: Covariance of the coefficients over entities, shape (d, d).
        digests: A number for the rows (:mod:`.digests`), uint64 of shape (entities,); None where it was not kept.
    """

    means: Array
    covariances: Array
    rows: Array
    population: Array
    digests: Array | None = None

    def __len__(self) -> int:
        return len(self.means)

    def stored(self) -> Effect:
        """In the precision in which it is saved."""
        means, covariances, rows = (one.astype(np.float32) for one in (self.means, self.covariances, self.rows))
        return Effect(means, covariances, rows, self.population, self.digests)

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """What is stored by entity, by the name of its file."""
        yield "coefficients", self.means
        yield "covariances", self.covariances
        yield "rows", self.rows
        if self.digests is not None:
            yield "digests", self.digests


@dataclass
class Factors:
    """An interaction of low rank.

    Attributes:
        means: Of the posterior of every factor, float32 of shape (places, rank); levels of one field follow one
            another, and after them stands a place for what is not known.
        variances: Of the same shape.
        starts: Where the levels of each field begin, and the number of places.
    """

    means: Array
    variances: Array
    starts: list[int]

    def __len__(self) -> int:
        return len(self.means)

    def spread(self) -> npt.NDArray[np.float64]:
        """The variance that each dimension adds to the margin, over levels drawn at random; shape (rank,)."""
        squares = [
            (self.means[first : stop - 1].astype(np.float64) ** 2 + self.variances[first : stop - 1]).mean(0)
            for first, stop in pairwise(self.starts)
        ]
        return np.asarray(np.sum([one * other for one, other in combinations(squares, 2)], axis=0))

    def moments(self, codes: list[npt.NDArray[np.int32]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and variance of the interaction of rows, (n,) each; see :mod:`.factor_kernels`.

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


@dataclass
class Fixed:
    """The fixed effects.

    Attributes:
        numbers: Coefficients of the intercept, the numbers, and the numbers being missing, shape (p,).
        errors: Their standard errors, 0 for those that an ``l1`` holds at zero.
        categories: Of each categorical one the coefficients, float32 of shape (levels,).
        category_errors: Their standard errors.
    """

    numbers: Array = field(default_factory=lambda: np.zeros(1))
    errors: Array = field(default_factory=lambda: np.zeros(1))
    categories: list[Array] = field(default_factory=list)
    category_errors: list[Array] = field(default_factory=list)


@dataclass
class Learned:
    """All that scoring needs beside the encodings of the terms.

    Attributes:
        loss: What was minimised.
        fixed: The fixed effects.
        effects: The random effects with coefficients.
        factors: The interactions of low rank.
        dispersion: Variance of a label around its mean, for the linear loss.
        importance: Share of each input.
        facts: About the fit.
    """

    loss: Loss = "logistic"
    fixed: Fixed = field(default_factory=Fixed)
    effects: list[Effect] = field(default_factory=list)
    factors: list[Factors] = field(default_factory=list)
    dispersion: float = 1.0
    importance: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """``model.json``, and ``.npy`` files that load without being read."""
        for kind, known in (("coefficients", self.fixed.categories), ("errors", self.fixed.category_errors)):
            for k, values in enumerate(known):
                np.save(folder / f"category_{k}.{kind}.npy", values, allow_pickle=False)
        for k, effect in enumerate(self.effects):
            for name, array in effect.arrays():
                np.save(folder / f"effect_{k}.{name}.npy", array, allow_pickle=False)
        for k, factors in enumerate(self.factors):
            np.save(folder / f"factors_{k}.means.npy", factors.means, allow_pickle=False)
            np.save(folder / f"factors_{k}.variances.npy", factors.variances, allow_pickle=False)
        model = {
            "loss": self.loss,
            "fixed": self.fixed.numbers.tolist(),
            "fixed_errors": self.fixed.errors.tolist(),
            "dispersion": self.dispersion,
            "covariances": [one.population.tolist() for one in self.effects],
            "factors": [one.starts for one in self.factors],
            "importance": self.importance,
            "facts": self.facts,
        }
        (folder / "model.json").write_text(json.dumps(model))

    @classmethod
    def load(cls, folder: Path, categories: int) -> Self:
        """What :meth:`save` wrote; processes share what is by entity, and read only what they look up."""
        model = json.loads((folder / "model.json").read_text())
        effects = [
            Effect(
                mapped(folder / f"effect_{k}.coefficients.npy"),
                mapped(folder / f"effect_{k}.covariances.npy"),
                mapped(folder / f"effect_{k}.rows.npy"),
                np.array(population),
                mapped(file) if (file := folder / f"effect_{k}.digests.npy").exists() else None,
            )
            for k, population in enumerate(model["covariances"])
        ]
        return cls(
            model["loss"],
            Fixed(
                np.array(model["fixed"]),
                np.array(model["fixed_errors"]),
                [mapped(folder / f"category_{k}.coefficients.npy") for k in range(categories)],
                [mapped(folder / f"category_{k}.errors.npy") for k in range(categories)],
            ),
            effects,
            [_factors(folder, k, starts) for k, starts in enumerate(model["factors"])],
            model["dispersion"],
            model["importance"],
            model["facts"],
        )


def _factors(folder: Path, position: int, starts: list[int]) -> Factors:
    means, variances = (mapped(folder / f"factors_{position}.{name}.npy") for name in ("means", "variances"))
    return Factors(means, variances, starts)


def mapped(file: Path) -> Array:
    """An array whose content is read when it is looked at; a plain one, of which NumPy takes parts the quickest."""
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
