"""Effects: coefficients of single entities, which some kinds of component learn, beside the population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class EntityEffect:
    """One coefficient of one entity beside the population.

    Attributes:
        effect: The random effect, by its entities.
        entity: The entity.
        feature: What the coefficient multiplies: ``intercept``, or a number in standard deviations from its mean.
        known: Whether the model has learned of the entity; if not, what follows is the population's.
        rows: How many rows stand behind it, by weight.
        value: Mean of the posterior, in the unit of the margin.
        error: Standard deviation of the posterior.
        population: Standard deviation over entities.
        deviations: ``value`` in multiples of ``population``.
        quantile: Share of the entities with a smaller value; None for one that is not known.
    """

    effect: str
    entity: str
    feature: str
    known: bool
    rows: float
    value: float
    error: float
    population: float
    deviations: float
    quantile: float | None


@dataclass(frozen=True)
class FixedEffect:
    """One coefficient that holds for all rows.

    Attributes:
        name: ``intercept``, an input, or ``missing`` and an input.
        level: Of a categorical input.
        value: In the unit of the margin, of a number for each of its standard deviations.
        error: Standard error; 0 for one that is held at zero.
        per_unit: Of a number, for one unit of it.
    """

    name: str
    level: str | None
    value: float
    error: float
    per_unit: float | None


@dataclass(frozen=True)
class Population:
    """How one coefficient differs over the entities.

    Attributes:
        effect: The random effect, by its entities.
        feature: What the coefficient multiplies; of factors, how many of their dimensions say anything.
        entities: How many have rows.
        deviation: Standard deviation over entities, of factors over their combinations.
        correlations: With the coefficients of the same effect before it.
        unit: Standard deviation of a feature that is a number: the coefficient is for so much of it.
    """

    effect: str
    feature: str
    entities: int
    deviation: float
    correlations: list[float]
    unit: float | None = None


@runtime_checkable
class HasEffects(Protocol):
    """A component that has learned coefficients of its own for entities."""

    @property
    def entity_inputs(self) -> list[str]:
        """The inputs that entities are named by."""

    def effects_of(self, entity: Mapping[str, str]) -> list[EntityEffect]:
        """The coefficients of an entity, inputs to values, in every effect whose inputs are all given."""

    def most_different(self, count: int) -> list[EntityEffect]:
        """For each coefficient of each effect the ``count`` entities that are farthest from the population."""

    def fixed_effects(self) -> list[FixedEffect]:
        """The coefficients that hold for all rows."""

    def population(self) -> list[Population]:
        """How the coefficients of each random effect differ over the entities."""
