"""Observations and terms of a model in memory, before they are laid out as a design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array


@dataclass(frozen=True)
class RandomEffectTerm:
    """Random effect of n rows.

    Attributes:
        entities: int32 of shape (n,): entity of each row, from 0; -1 for none.
        slopes: float32 of shape (n, d): what the entity's coefficients multiply, a column of ones for an intercept.
        levels: Number of entities, at least 1.
    """

    entities: npt.NDArray[np.int32]
    slopes: npt.NDArray[np.float32]
    levels: int

    @property
    def dimension(self) -> int:
        """Number of coefficients of each entity."""
        return int(self.slopes.shape[1])

    @property
    def columns(self) -> int:
        """Number of coefficients of all entities."""
        return self.levels * self.dimension


@dataclass(frozen=True)
class CategoryTerm:
    """Categorical fixed effect of n rows.

    Attributes:
        codes: int32 of shape (n,): level of each row, -1 for missing.
        levels: Number of levels, at least 1.
    """

    codes: npt.NDArray[np.int32]
    levels: int


@dataclass(frozen=True)
class FactorsTerm:
    """Interaction of low rank between several fields.

    Attributes:
        codes: For each field int32 of shape (n,): level of each row, -1 for none.
        levels: Number of levels of each field, at least 1.
        rank: Rank of the interaction.
        seed: Seed of the initial factors.
    """

    codes: Sequence[npt.NDArray[np.int32]]
    levels: Sequence[int]
    rank: int
    seed: int = 0


@dataclass(frozen=True)
class Observations:
    """Labels of n rows, and what is known of their margins.

    Attributes:
        label: Shape (n,).
        offset: Shape (n,), added to every margin.
        weight: Shape (n,), positive; 1 when omitted.
        variance: Shape (n,): posterior variance of the offset; 0 when omitted.
    """

    label: Array
    offset: Array
    weight: Array | None = None
    variance: Array | None = None


@dataclass(frozen=True)
class DesignTerms:
    """Terms of the margin of n rows.

    Attributes:
        numbers: Numeric fixed effects, shape (n, p), a column of ones first.
        categories: Categorical fixed effects.
        effects: Random effects, at least one.
        factors: Interactions of low rank.
    """

    numbers: Array
    categories: Sequence[CategoryTerm]
    effects: Sequence[RandomEffectTerm]
    factors: Sequence[FactorsTerm] = ()
