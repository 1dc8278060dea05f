"""YAML of a mixed-effects component."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.mixed.check import check_terms
from proml_kedro.models.mixed.effect_spec import INTERCEPT, AnyEffect, FactorsSpec, RandomEffectSpec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.problem import ProblemSpec, Task

FIXED = "fixed"
"""Name of the fixed effects in ``locked``."""

Loss = Literal["logistic", "linear", "poisson"]

Method = Literal["variational", "laplace", "pql"]

LOSSES: dict[Task, tuple[Loss, ...]] = {
    "binary": ("logistic",),
    "regression": ("linear", "poisson"),
    "count": ("poisson", "linear"),
}
"""Losses for each type of label, the default first."""

NotNegative = Annotated[float, Field(ge=0)]

_MOST_STREAMED_FEATURES = 5
_FEWEST_POINTS = 15


class MixedSpec(ComponentSpec):
    """A generalized linear mixed model (GLMix).

    Attributes:
        loss: ``logistic`` for a binary label, ``linear`` (normal, its variance estimated) for a number, ``poisson``
            (log link) for a count; by the problem's task when omitted.
        offset: A numeric input that is added to the margin as it is, such as the margin of another component.
        exposure: With ``poisson``, a positive numeric input such as hours or impressions: the count's mean is
            proportional to it. A row without one is not used for training, and is scored for an exposure of 1.
        fixed: Inputs with coefficients common to all rows, beside an intercept that is always there. A pattern such as
            ``weather.*`` does not match the offset, the exposure and the entities.
        random_effects: What each entity has of its own, shrunk towards zero: coefficients, or with ``kind: factors`` a
            vector whose product with those of other entities is added. At least one has coefficients.
        method: How the random effects are integrated out. ``variational`` averages the likelihood over their posterior.
            ``laplace`` maximises Laplace's approximation of the marginal likelihood, as lme4's ``glmer`` does.
            ``pql`` takes the likelihood at the mode (penalised quasi-likelihood), and underestimates variances of
            entities with few rows. With ``linear`` they are the same.
        nagq: Number of nodes of adaptive Gauss-Hermite quadrature by which ``method: laplace`` integrates over the one
            random effect of one feature, as lme4's ``nAGQ``; 25 is exact in practice, 1 is Laplace's approximation.
        penalty: Half of it times the squared coefficients of ``fixed`` is added to the summed loss, per standard
            deviation of an input and, with ``linear``, of the label.
        l1: This times the absolute coefficients of ``fixed`` is added as well, which makes some of them zero (elastic
            net).
        locked: What is kept as ``training.warm_start`` has it: ``fixed`` for the fixed effects, and random effects by
            their entities, ``a x b`` for combinations and ``a * b`` for factors.
        update: ``changed_entities`` estimates only entities whose rows differ from those that
            ``training.warm_start`` was trained on, and keeps all else: fixed effects, variances, factors and the other
            entities.
        max_iterations: Largest number of Newton steps, or of sweeps of the streamed engine.
        engine: ``streamed`` keeps rows and entities on disk, for one random effect on at most five features;
            ``memory`` can do everything. ``auto`` streams from five million rows on where that works.
        refit: Train on the validation period too, when no other component learns from this one.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset(LOSSES)
    warm_starts: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("numba", "scipy", "numpy")
    takes_weights: ClassVar[bool] = True

    kind: Literal["mixed"]
    loss: Loss | None = None
    offset: str | None = None
    exposure: str | None = None
    fixed: list[str] = []
    random_effects: Annotated[list[AnyEffect], Field(min_length=1)]
    method: Method = "variational"
    nagq: Annotated[int, Field(ge=1, le=100)] = 1
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
        own = [level for one in value if isinstance(one, RandomEffectSpec) for level in one.levels()]
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

    @model_validator(mode="after")
    def _laplace_has_no_factors(self) -> Self:
        if self.method == "laplace" and self.factors:
            raise ValueError("method: 'laplace' knows no factors; take 'variational' or leave out `kind: factors`")
        return self

    @model_validator(mode="after")
    def _quadrature_is_of_one_effect(self) -> Self:
        if self.nagq == 1:
            return self
        if self.nagq < _FEWEST_POINTS:  # its maximum and its gradient's zero then differ noticeably
            raise ValueError(f"nagq: 1, or {_FEWEST_POINTS} to 100 points; {self.nagq} are not exact")
        effect = self.coefficients[0]
        conditions = {
            "method: laplace": self.method == "laplace",
            f"one random effect; there are {len(self.effects)}": len(self.effects) == 1,
            f"one feature of it; {effect.title} has {len(effect.features)}": len(effect.features) == 1,
            "l1: 0": self.l1 == 0,
            "nothing locked, and update: all": not self.locked and self.update == "all",
            "another loss: with linear the likelihood is exact without": self.loss != "linear",
        }
        if lacking := [condition for condition, met in conditions.items() if not met]:
            raise ValueError(f"nagq: {self.nagq} points need {'; '.join(lacking)}")
        return self

    @model_validator(mode="after")
    def _locked_exist(self) -> Self:
        titles = {FIXED, *(one.title for one in self.effects)}
        for name in self.locked:
            if name not in titles:
                raise ValueError(f"locked: {unknown('effect', name, titles)}")
        return self

    @property
    def needs_earlier(self) -> str | None:
        """Key that requires an earlier model, None when no key does."""
        return "locked" if self.locked else "update" if self.update != "all" else None

    @property
    def locks_fixed(self) -> bool:
        """Whether the fixed effects are kept as the earlier model has them."""
        return FIXED in self.locked or self.update != "all"

    @property
    def effects(self) -> list[RandomEffectSpec | FactorsSpec]:
        """The random effects, those of levels within others written out."""
        return [level for one in self.random_effects for level in one.levels()]

    @property
    def coefficients(self) -> list[RandomEffectSpec]:
        """Random effects with coefficients."""
        return [one for one in self.effects if isinstance(one, RandomEffectSpec)]

    @property
    def factors(self) -> list[FactorsSpec]:
        """Interactions of low rank."""
        return [one for one in self.effects if isinstance(one, FactorsSpec)]

    def loss_for(self, task: Task) -> Loss:
        """Return the loss that is minimised for this type of label."""
        return self.loss or LOSSES[task][0]

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """Name the outputs: margin and probability; for a label that is not binary margin, mean and variance."""
        names = ("margin", "probability") if task == "binary" else ("margin", "mean", "variance")
        return tuple(map(Output, names))

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find unknown inputs, a loss that does not fit the label, and what the streamed engine cannot fit."""
        task = problem.label.task
        mistakes = list(self.check_inputs(inputs))
        if self.loss_for(task) not in LOSSES[task]:
            able = " or ".join(LOSSES[task])
            mistakes.append(Mistake("loss", f"the problem's label is '{task}', for which it can be {able}"))
        if self.nagq > 1 and self.loss is None and self.loss_for(task) == "linear":
            mistakes.append(Mistake("nagq", "with loss linear, the default here, the likelihood is exact without"))
        if self.exposure is not None and self.loss_for(task) != "poisson":
            mistakes.append(Mistake("exposure", "is of counts; it needs `loss: poisson`"))
        if self.engine == "streamed":
            needs = self.streaming_obstacles(self.fixed_inputs(inputs))
            mistakes += [Mistake("engine", f"'streamed' works where {need}") for need in needs]
        return mistakes

    def check_inputs(self, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
        """Find terms that name no input, or one of the wrong dtype.

        Args:
            inputs: Dtype of each input, by name.
        """
        return check_terms(inputs, self.offset, self.exposure, self.fixed, self.random_effects)

    def streaming_obstacles(self, fixed: Sequence[str]) -> list[str]:
        """List the conditions of the streamed engine that the model does not meet.

        Args:
            fixed: Inputs that have fixed effects.
        """
        if len(self.effects) != 1 or len(self.coefficients) != 1:
            return ["there is one random effect, of coefficients"]
        effect = self.coefficients[0]
        conditions = {
            "the method is variational or pql": self.method != "laplace",
            "the features of the random effect include the intercept": INTERCEPT in effect.features,
            f"they are at most {_MOST_STREAMED_FEATURES}": len(effect.features) <= _MOST_STREAMED_FEATURES,
            "all fixed effects are features of the random effect": set(fixed) <= set(effect.features),
            "there is no l1 penalty": self.l1 == 0,
            "nothing is locked, and all entities are estimated": not self.locked and self.update == "all",
        }
        return [condition for condition, met in conditions.items() if not met]

    def unread_inputs(self, known: Iterable[str]) -> list[str]:
        """List the inputs that no term reads, so that they change nothing.

        Args:
            known: Names of all inputs.
        """
        known = list(known)
        read = {*self.fixed_inputs(known), self.offset, self.exposure}
        read.update(name for one in self.random_effects for name in one.inputs)
        read.update(name for one in self.coefficients for name in one.features)
        return [name for name in known if name not in read]

    def fixed_inputs(self, known: Iterable[str]) -> list[str]:
        """List the inputs that ``fixed`` names, each once.

        Args:
            known: Names of all inputs.
        """
        known = list(known)
        taken = {self.offset, self.exposure, *(name for one in self.random_effects for name in one.inputs)}
        found: dict[str, None] = {}
        for pattern in self.fixed:
            exact = pattern in known
            found.update(
                (name, None)
                for name in known
                if name == pattern or (not exact and name not in taken and fnmatchcase(name, pattern))
            )
        return list(found)


def _in_any_order(effect: RandomEffectSpec | FactorsSpec) -> tuple[str, ...]:
    """Sort the inputs that make up the entities: those of [a, b] are those of [b, a]."""
    return tuple(sorted(effect.entity))
