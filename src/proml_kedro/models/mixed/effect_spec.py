"""YAML of the random effects of a mixed model: coefficients per entity, and interactions of low rank."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from proml_kedro.extensions import Registry
from proml_kedro.spec.base import Spec

INTERCEPT = "intercept"
"""Name of the constant feature among ``features``."""

NESTED = "/"
"""Stands between a level and the one within it."""

Positive = Annotated[float, Field(gt=0)]


class _EntitySpec(Spec):
    """Base of the effects: what is checked for each of them."""

    @field_validator("features", "entity", check_fields=False)
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names a thing twice")
        return value


class RandomEffectSpec(_EntitySpec):
    """Coefficients of its own for each entity.

    Attributes:
        kind: Kind of the random effect.
        entity: A categorical input; or several, whose combinations are then the entities. ``school/class`` is written
            for classes within schools: an effect of ``school``, and one of ``[school, class]``, with all other keys the
            same.
        features: What the coefficients multiply: ``intercept`` and numeric inputs.
        covariance: Whether the coefficients of an entity may be correlated with each other (``full``).
        variance: Variance of the coefficients over entities, in the squared unit of the margin, for each standard
            deviation of the feature: one number for all or one for each of ``features``. Estimated when omitted.
        min_rows: An entity with fewer rows is treated as an unknown one.
        max_rows: Of an entity with more rows a random sample of this size is used for training; all when omitted.
    """

    kind: Literal["coefficients"] = "coefficients"
    entity: Annotated[list[str], Field(min_length=1)]
    features: Annotated[list[str], Field(min_length=1, max_length=16)] = [INTERCEPT]
    covariance: Literal["full", "diagonal"] = "full"
    variance: Positive | list[Positive] | None = None
    min_rows: PositiveInt = 1
    max_rows: PositiveInt | None = None

    @field_validator("entity", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("variance")
    @classmethod
    def _not_empty(cls, value: float | list[float] | None) -> float | list[float] | None:
        if isinstance(value, list) and not value:
            raise ValueError("an empty list; write a number, or one for each of features")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if isinstance(self.variance, list) and len(self.variance) != len(self.features):
            raise ValueError(f"variance: {len(self.variance)} numbers for {len(self.features)} features")
        if self.max_rows is not None and self.max_rows < self.min_rows:
            raise ValueError(f"max_rows: {self.max_rows} is less than min_rows, {self.min_rows}")
        return self

    @field_validator("entity")
    @classmethod
    def _nested_alone(cls, value: list[str]) -> list[str]:
        for one in value:
            parts = one.split(NESTED)
            if len(parts) == 1:
                continue
            if len(value) > 1:
                raise ValueError(f"'{one}' stands alone, as `entity: {one}`; combinations are written [a, b]")
            if not all(parts) or len(set(parts)) < len(parts):
                raise ValueError(f"'{one}': a level within another is written as in school/class")
        return value

    @property
    def title(self) -> str:
        """Name of the effect in reports: ``a x b`` for combinations."""
        return " x ".join(self.entity)

    @property
    def inputs(self) -> list[str]:
        """The categorical inputs that are named, each once."""
        return [name for one in self.entity for name in one.split(NESTED)]

    def levels(self) -> list[RandomEffectSpec]:
        """Write ``a/b`` out as an effect of a and one of the combinations of a and b, as lme4's formulas mean it."""
        if len(self.inputs) == len(self.entity):
            return [self]
        return [self.model_copy(update={"entity": self.inputs[: depth + 1]}) for depth in range(len(self.inputs))]


class FactorsSpec(_EntitySpec):
    """An interaction of low rank between entities: each has a vector, and every pair in a row adds their product.

    Attributes:
        kind: Kind of the random effect.
        entity: Two categorical inputs or more.
        rank: Length of the vectors. Superfluous dimensions shrink to zero, so it may be too large.
        min_rows: An entity with fewer rows has no vector.
    """

    kind: Literal["factors"]
    entity: Annotated[list[str], Field(min_length=2)]
    rank: Annotated[int, Field(ge=1, le=64)] = 8
    min_rows: PositiveInt = 1

    @property
    def title(self) -> str:
        """Name of the effect in reports: ``a * b``."""
        return " * ".join(self.entity)

    @property
    def inputs(self) -> list[str]:
        """The categorical inputs that are named."""
        return self.entity

    def levels(self) -> list[FactorsSpec]:
        """Return the effect alone."""
        return [self]


kinds: Registry[type[Spec]] = Registry("kind of effect")
"""Kinds of random effects by name."""

kinds.register("coefficients")(RandomEffectSpec)
kinds.register("factors")(FactorsSpec)

_EITHER: Any = RandomEffectSpec | FactorsSpec  # a union, so that the reference and the checks of keys see both kinds

AnyEffect = kinds.field(_EITHER, lambda spec: spec, "kind", "coefficients", prefix="kind: ")
"""A random effect of either kind; ``coefficients`` when ``kind`` is omitted."""
