"""Effects: coefficients of single entities, which some kinds of component learn, beside the population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from proml_kedro.errors import Mistake, UserError, unknown


@dataclass(frozen=True)
class EntityEffect:
    """Coefficient of one entity, compared with the population.

    Attributes:
        effect: Title of the random effect.
        entity: The entity.
        feature: What the coefficient multiplies: ``intercept``, or a number in standard deviations from its mean.
        known: Whether the entity was among the training rows; if not, the values below are those of the population.
        rows: Number of training rows, by weight.
        value: Posterior mean, in the unit of the margin.
        error: Posterior standard deviation.
        population: Standard deviation over entities.
        deviations: ``value`` in multiples of ``population``.
        quantile: Share of the entities with a smaller value; None for an unknown entity.
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
    """Coefficient that is common to all rows.

    Attributes:
        name: ``intercept``, an input, or ``missing`` and an input.
        level: Level of a categorical input, else None.
        value: Coefficient in the unit of the margin; of a number for each of its standard deviations.
        error: Standard error; 0 for a coefficient that ``l1`` holds at zero.
        per_unit: Coefficient of a number for one unit of it, of the intercept where all numbers are 0; of a level as
            ``value``. None where no covariance of the fixed effects was kept, except of a number.
        per_unit_error: Standard error of that, or None.
        df: Degrees of freedom of ``value`` over ``error``; None for a normal distribution.
        per_unit_df: Degrees of freedom of ``per_unit`` over its error, or None.
    """

    name: str
    level: str | None
    value: float
    error: float
    per_unit: float | None
    per_unit_error: float | None = None
    df: float | None = None
    per_unit_df: float | None = None

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Compute the interval of ``value`` by Student's t, or by the normal distribution."""
        return interval_of(self.value, self.error, self.df, confidence)


@dataclass(frozen=True)
class Contrast:
    """Linear combination of fixed effects, in raw units.

    Attributes:
        text: What was asked for.
        value: Its estimate.
        error: Standard error.
        df: Degrees of freedom of their ratio; None for a normal distribution.
    """

    text: str
    value: float
    error: float
    df: float | None = None

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Compute the interval of ``value`` by Student's t, or by the normal distribution."""
        return interval_of(self.value, self.error, self.df, confidence)


def interval_of(value: float, error: float, df: float | None, confidence: float) -> tuple[float, float]:
    """Compute an interval by Student's t with these degrees of freedom, or by the normal distribution.

    >>> [round(end, 3) for end in interval_of(0.0, 1.0, 4.0, 0.95)]
    [-2.776, 2.776]
    """
    from scipy.special import ndtri, stdtrit

    tail = (1 + confidence) / 2
    reach = error * float(ndtri(tail) if df is None else stdtrit(df, tail))
    return value - reach, value + reach


@dataclass(frozen=True)
class Population:
    """Variance component: spread of one coefficient over the entities.

    Attributes:
        effect: Title of the random effect.
        feature: What the coefficient multiplies; of factors, how many of their dimensions contribute.
        entities: Number of entities with rows.
        deviation: Standard deviation over entities, of factors over their combinations.
        correlations: Correlations with the preceding coefficients of the same effect.
        unit: Standard deviation of the feature, for which the coefficient is; None for an intercept.
        per_unit: Standard deviation for one unit of the feature, of an intercept where all features are 0.
        per_unit_correlations: Correlations of the same.
    """

    effect: str
    feature: str
    entities: int
    deviation: float
    correlations: list[float]
    unit: float | None = None
    per_unit: float | None = None
    per_unit_correlations: list[float] = field(default_factory=list)


@runtime_checkable
class HasEffects(Protocol):
    """A component that has learned coefficients of its own for entities."""

    def summary(self) -> dict[str, Any]:
        """Return facts about the fit; ``notes`` are lines on what cannot be estimated, or is approximate."""

    @property
    def entity_inputs(self) -> list[str]:
        """List the inputs that entities are named by."""

    def effects_of(self, entity: Mapping[str, str]) -> list[EntityEffect]:
        """Find the coefficients of an entity, inputs to values, in every effect whose inputs are all given."""

    def most_different(self, count: int) -> list[EntityEffect]:
        """Find for each coefficient of each effect the ``count`` entities that are farthest from the population."""

    def fixed_effects(self) -> list[FixedEffect]:
        """List the coefficients that hold for all rows."""

    def contrast(self, text: str) -> Contrast:
        """Compute a linear combination of fixed effects, such as ``a - b``, in raw units."""

    def population(self) -> list[Population]:
        """Describe how the coefficients of each random effect differ over the entities."""


def with_effects(components: Mapping[str, Any], chosen: str | None, where: tuple[str, str]) -> dict[str, HasEffects]:
    """Find the components that have learned effects of entities, by name.

    Args:
        components: Of a model, by name.
        chosen: The only one that is wanted; all when None.
        where: What is to be named as the place of a mistake: in the model, and in the choice.

    Raises:
        UserError: There is none, or not the chosen one.
    """
    models: dict[str, HasEffects] = {name: one for name, one in components.items() if isinstance(one, HasEffects)}
    if not models:
        message = "no component of this bundle has effects of entities, as those of kind 'mixed' have"
        raise UserError(Mistake("", message, where[0]))
    if chosen is None:
        return models
    if chosen not in models:
        raise UserError(Mistake("", unknown("component with effects", chosen, models), where[1]))
    return {chosen: models[chosen]}


def check_entity(models: Mapping[str, HasEffects], entity: Mapping[str, str], where: str) -> None:
    """Check that each name is an entity of some effect, and that some effect needs no further ones.

    Args:
        models: Components by name.
        entity: Values by the names of inputs.
        where: What is to be named as the place of a mistake.

    Raises:
        UserError: A name is no entity, or every effect needs further entities.
    """
    known = {name for one in models.values() for name in one.entity_inputs}
    mistakes = [Mistake("", unknown("entity", name, known), where) for name in entity if name not in known]
    if mistakes:
        raise UserError(*mistakes)
    if entity and not any(one.effects_of(entity) for one in models.values()):
        message = f"no effect is of {', '.join(entity)} alone; give further ones of: {', '.join(sorted(known))}"
        raise UserError(Mistake("", message, where))
