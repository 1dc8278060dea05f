"""What the YAML of a mixed-effects component may say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, ValidatorFunctionWrapHandler, WrapValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.mixed.check import of_terms
from proml_kedro.models.mixed.choose_engine import obstacles
from proml_kedro.spec.base import Spec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.problem import ProblemSpec, Task

INTERCEPT = "intercept"

FIXED = "fixed"
"""The name of the fixed effects among what is ``locked``."""

Loss = Literal["logistic", "linear", "poisson"]

Method = Literal["variational", "laplace", "pql"]

LOSSES: dict[Task, tuple[Loss, ...]] = {
    "binary": ("logistic",),
    "regression": ("linear", "poisson"),
    "count": ("poisson", "linear"),
}
"""The losses for each sort of label, the default first."""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class RandomEffectSpec(Spec):
    """Coefficients of its own for each entity.

    Attributes:
        kind: What sort of random effect it is.
        entity: A categorical input; or several, whose combinations are then the entities.
        features: What the coefficients multiply: ``intercept`` and numeric inputs.
        covariance: Whether the coefficients of an entity are correlated with each other.
        variance: Of the coefficients over entities, in the squared unit of the margin for each standard deviation of
            the feature: one number for all or one for each of ``features``. Estimated when left out.
        min_rows: An entity with fewer rows is treated as one that is not known.
        max_rows: Of an entity with more rows a random sample of this size is learned from; all when left out.
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

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if isinstance(self.variance, list) and len(self.variance) != len(self.features):
            raise ValueError(f"variance: {len(self.variance)} numbers for {len(self.features)} features")
        if self.max_rows is not None and self.max_rows < self.min_rows:
            raise ValueError(f"max_rows: {self.max_rows} is less than min_rows, {self.min_rows}")
        return self

    @property
    def title(self) -> str:
        """The effect's name in reports."""
        return " x ".join(self.entity)


class FactorsSpec(Spec):
    """An interaction of low rank between entities: each has a vector, and every pair in a row adds their product.

    Attributes:
        kind: What sort of random effect it is.
        entity: Two categorical inputs or more.
        rank: Length of the vectors. Dimensions that say nothing shrink to nothing, so it may be too large.
        min_rows: An entity with fewer rows has no vector.
    """

    kind: Literal["factors"]
    entity: Annotated[list[str], Field(min_length=2)]
    rank: Annotated[int, Field(ge=1, le=64)] = 8
    min_rows: PositiveInt = 1

    @field_validator("entity")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names a thing twice")
        return value

    @property
    def title(self) -> str:
        """The effect's name in reports."""
        return " * ".join(self.entity)


def _in_any_order(effect: RandomEffectSpec | FactorsSpec) -> tuple[str, ...]:
    """What the entities are made of: those of [a, b] are those of [b, a]."""
    return tuple(sorted(effect.entity))


def _pick_kind(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Check a random effect by the spec of its kind alone, so that no mistake is said once for each kind."""
    if not isinstance(value, dict):
        return handler(value)
    kind = value.get("kind", "coefficients")
    specs: dict[str, type[Spec]] = {"coefficients": RandomEffectSpec, "factors": FactorsSpec}
    if kind not in specs:
        raise PydanticCustomError("kind", "kind: {message}", {"message": unknown("kind of effect", str(kind), specs)})
    return specs[kind].model_validate(value)


AnyEffect = Annotated[RandomEffectSpec | FactorsSpec, WrapValidator(_pick_kind)]


class MixedSpec(ComponentSpec):
    """A generalized linear mixed model (GLMix).

    Attributes:
        loss: ``logistic`` for a binary label, ``linear`` (normal, its variance estimated) for a number, ``poisson``
            (log link) for a count; by the problem's task when left out.
        offset: A numeric input that is added to the margin as it is, such as the margin of another component.
        exposure: With ``poisson``, a positive numeric input such as hours or impressions: the count's mean is
            proportional to it. A row without one is not learned from, and is scored for an exposure of 1.
        fixed: Inputs with coefficients common to all rows, beside an intercept that is always there. A pattern such as
            ``weather.*`` leaves out the offset, the exposure and the entities.
        random_effects: What each entity has of its own, shrunk towards zero: coefficients, or with ``kind: factors`` a
            vector that meets those of other entities. At least one has coefficients.
        method: How the effects are integrated out. ``variational`` averages the likelihood over their posterior.
            ``laplace`` maximises Laplace's approximation of the marginal likelihood, as lme4's ``glmer`` does.
            ``pql`` takes the likelihood at the mode (penalised quasi-likelihood), and underestimates variances of
            entities with few rows. With ``linear`` they are the same.
        penalty: Half of it times the squared coefficients of ``fixed`` is added to the summed loss, per standard
            deviation of an input and, with ``linear``, of the label.
        l1: This times the absolute coefficients of ``fixed`` is added as well, which makes some of them zero (elastic
            net).
        locked: What is kept as ``training.warm_start`` has it: ``fixed`` for the fixed effects, and random effects by
            their entities, ``a x b`` for combinations and ``a * b`` for factors.
        update: ``changed_entities`` estimates only entities whose rows are not those that ``training.warm_start``
            learned from, and keeps all else: fixed effects, variances, factors and the other entities.
        max_iterations: Of Newton steps, or of sweeps of the streamed engine.
        engine: ``streamed`` keeps rows and entities on disk, for one random effect on at most five features;
            ``memory`` can do everything. ``auto`` streams from five million rows on where that works.
        refit: Learn from the validation period too, when no other component learns from this one.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset(LOSSES)
    warm_starts: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = True

    kind: Literal["mixed"]
    loss: Loss | None = None
    offset: str | None = None
    exposure: str | None = None
    fixed: list[str] = []
    random_effects: Annotated[list[AnyEffect], Field(min_length=1)]
    method: Method = "variational"
    penalty: NotNegative = 1.0
    l1: NotNegative = 0.0
    locked: list[str] = []
    update: Literal["all", "changed_entities"] = "all"
    max_iterations: PositiveInt = 50
    engine: Literal["auto", "memory", "streamed"] = "auto"
    refit: bool = True

    @field_validator("random_effects")
    @classmethod
    def _are_apart(cls, value: list[AnyEffect]) -> list[AnyEffect]:
        own = [one for one in value if isinstance(one, RandomEffectSpec)]
        if not own:
            raise ValueError("at least one effect needs coefficients, such as an intercept, beside the factors")
        features = Counter((_in_any_order(one), feature) for one in own for feature in one.features)
        for (entity, feature), count in features.items():
            if count > 1:
                title = " x ".join(entity)
                raise ValueError(f"{count} effects of {title} have {feature}, and data cannot tell these apart")
        factors = Counter(_in_any_order(one) for one in value if isinstance(one, FactorsSpec))
        for entity, count in factors.items():
            if count > 1:  # of ranks 2 and 3 they are one of rank 5
                raise ValueError(f"{count} factors are of {' * '.join(entity)}, and data cannot tell these apart")
        return value

    @property
    def needs_earlier(self) -> str | None:
        """The key that asks for an earlier model."""
        return "locked" if self.locked else "update" if self.update != "all" else None

    @model_validator(mode="after")
    def _laplace_is_of_coefficients(self) -> Self:
        if self.method == "laplace" and self.factors:
            raise ValueError("method: 'laplace' knows no factors; take 'variational' or leave out `kind: factors`")
        return self

    @model_validator(mode="after")
    def _locked_exist(self) -> Self:
        titles = {FIXED, *(one.title for one in self.random_effects)}
        for name in self.locked:
            if name not in titles:
                raise ValueError(f"locked: {unknown('effect', name, titles)}")
        return self

    @property
    def coefficients(self) -> list[RandomEffectSpec]:
        """The random effects with coefficients."""
        return [one for one in self.random_effects if isinstance(one, RandomEffectSpec)]

    @property
    def factors(self) -> list[FactorsSpec]:
        """The interactions of low rank."""
        return [one for one in self.random_effects if isinstance(one, FactorsSpec)]

    def loss_for(self, task: Task) -> Loss:
        """What is minimised for this sort of label."""
        return self.loss or LOSSES[task][0]

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """Margin and probability; for a label that is not binary margin, mean and variance."""
        names = ("margin", "probability") if task == "binary" else ("margin", "mean", "variance")
        return tuple(map(Output, names))

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Terms of no input, a loss that is not for the label, an exposure of no count, what cannot be streamed."""
        task = problem.label.task
        mistakes = list(of_terms(self, inputs))
        if self.loss_for(task) not in LOSSES[task]:
            able = " or ".join(LOSSES[task])
            mistakes.append(Mistake("loss", f"the problem's label is '{task}', for which it can be {able}"))
        if self.exposure is not None and self.loss_for(task) != "poisson":
            mistakes.append(Mistake("exposure", "is of counts; it needs `loss: poisson`"))
        if self.engine == "streamed":
            needs = obstacles(self, self.fixed_inputs(inputs))
            mistakes += [Mistake("engine", f"'streamed' works where {need}") for need in needs]
        return mistakes

    def fixed_inputs(self, known: Iterable[str]) -> list[str]:
        """The inputs that ``fixed`` names, each once."""
        known = list(known)
        taken = {self.offset, self.exposure, *(name for one in self.random_effects for name in one.entity)}
        found: dict[str, None] = {}
        for pattern in self.fixed:
            exact = pattern in known
            found.update(
                (name, None)
                for name in known
                if name == pattern or (not exact and name not in taken and fnmatchcase(name, pattern))
            )
        return list(found)
