"""What the YAML of a mixed-effects component may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator

from proml_kedro.spec.base import Spec
from proml_kedro.spec.model import ComponentSpec

INTERCEPT = "intercept"

Positive = Annotated[float, Field(gt=0)]


class RandomEffectSpec(Spec):
    """Coefficients of its own for each entity.

    Attributes:
        entity: A categorical input; or several, whose combinations are then the entities.
        features: What the coefficients multiply: ``intercept`` and numeric inputs.
        covariance: Whether the coefficients of an entity are correlated with each other.
        variance: Of the coefficients over entities, in squared log-odds for each standard deviation of the feature:
            one number for all or one for each of ``features``. Estimated when left out.
    """

    entity: Annotated[list[str], Field(min_length=1)]
    features: Annotated[list[str], Field(min_length=1, max_length=16)] = [INTERCEPT]
    covariance: Literal["full", "diagonal"] = "full"
    variance: Positive | list[Positive] | None = None

    @field_validator("entity", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("features", "entity")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names a thing twice")
        return value

    @field_validator("variance")
    @classmethod
    def _not_empty(cls, value: float | list[float] | None) -> float | list[float] | None:
        if isinstance(value, list) and not value:
            raise ValueError("an empty list; write a number, or one for each of features")
        return value

    @property
    def title(self) -> str:
        """The effect's name in reports."""
        return " x ".join(self.entity)


class MixedSpec(ComponentSpec):
    """A generalized linear mixed model of a binary label (GLMix).

    Attributes:
        offset: A numeric input that is added to the log-odds as it is, such as the margin of another component.
        fixed: Inputs with coefficients common to all rows, beside an intercept that is always there. A pattern such as
            ``weather.*`` leaves out the offset and the entities.
        random_effects: Coefficients that each entity has of its own, shrunk towards zero.
        method: ``variational`` averages the likelihood over the posterior of the effects, ``pql`` takes it at the mode
            (penalised quasi-likelihood); the second underestimates variances of entities with few rows.
        penalty: Half of it times the squared coefficients of ``fixed`` is added to the summed log loss.
        max_iterations: Of Newton steps.
        refit: Learn from the validation period too, when no other component learns from this one.
    """

    kind: Literal["mixed"]
    offset: str | None = None
    fixed: list[str] = []
    random_effects: Annotated[list[RandomEffectSpec], Field(min_length=1)]
    method: Literal["variational", "pql"] = "variational"
    penalty: Annotated[float, Field(ge=0)] = 1.0
    max_iterations: PositiveInt = 50
    refit: bool = True

    @field_validator("random_effects")
    @classmethod
    def _variances_fit(cls, value: list[RandomEffectSpec]) -> list[RandomEffectSpec]:
        for one in value:
            if isinstance(one.variance, list) and len(one.variance) != len(one.features):
                raise ValueError(f"{one.title}: {len(one.variance)} variances for {len(one.features)} features")
        return value
