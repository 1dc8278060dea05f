"""``kind: mixed``: a generalized linear mixed model (GLMix; Zhang et al., KDD 2016)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count, sigmoid
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input
from proml_kedro.models.effects import EntityEffect, FixedEffect, Population
from proml_kedro.models.mixed import effects, score, warm_start
from proml_kedro.models.mixed.choose_engine import is_streamed
from proml_kedro.models.mixed.fitted import Learned
from proml_kedro.models.mixed.losses import predict
from proml_kedro.models.mixed.memory import arrange
from proml_kedro.models.mixed.rows import Unit, check_label, sample, usable, weights
from proml_kedro.models.mixed.spec import Loss, MixedSpec
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.spec.model import ComponentSpec

if TYPE_CHECKING:
    from proml_kedro.models.mixed.memory.settings import Fit, Settings

logger = logging.getLogger(__name__)

_WIDE = 2.0  # deviation of an effect, in log-odds: a factor of 7 in the odds

_ROWS_FOR_IMPORTANCE = 10_000


class Mixed(Component):
    """Fixed effects, or another component's margin, and coefficients of its own for each entity.

    Numbers are standardised; one that is missing counts as the mean, and as a fixed effect has a coefficient for being
    missing. Where the entity is unknown or missing its effect is that of the population, zero, with the variance of
    the population. What is said of a row is averaged over the posterior of the effects (:func:`.losses.predict`), so
    that what is not known well is said less firmly.
    """

    Spec: ClassVar[type[ComponentSpec]] = MixedSpec
    spec: MixedSpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        self._terms = Terms(self.spec, self.inputs)
        self._learned = Learned()

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Estimate coefficients and variances together. Nothing is to be chosen: final, it learns from both periods.

        Raises:
            UserError: The labels are not such as the loss is about, no example counts, or something is to be kept
                that the earlier model does not have.
        """
        spec, terms, loss = self.spec, self._terms, self.spec.loss_for(context.task)
        periods = [train, validation] if context.final and spec.refit else [train]
        if is_streamed(spec, [*terms.numbers, *terms.categories], periods, context):
            from proml_kedro.models.mixed.streamed.engine import learn

            self._learned = learn(spec, terms, periods, self._continued(loss, context), context)
            return
        examples = train.join(validation) if len(periods) > 1 else train
        examples = self._sample(usable(examples, spec.exposure, context.key), context)
        check_label(examples.label, loss, context.key)
        columns, label, weight = examples.columns, examples.label, weights(examples)
        earlier = self._continued(loss, context)
        with terms.remembering(columns):
            for name in terms.learn(columns, weight, earlier.terms if earlier else None):
                logger.warning("%s: %s is constant and says nothing", context.key, name)
            if earlier is not None:
                terms.hold(spec, earlier.terms)
            self._learned = self._learn(columns, label, weight, earlier, loss, context)
        self._learned.facts = {"rows": len(label), **self._learned.facts}
        self._learned.importance = self._shares(columns)

    def _continued(self, loss: Loss, context: FitContext) -> warm_start.Earlier | None:
        """The earlier model, as far as it is one to go on from."""
        before, spec = context.previous, self.spec
        earlier = warm_start.Earlier(before._terms, before._learned) if isinstance(before, Mixed) else None
        return warm_start.check(spec, self._terms, earlier, loss, context.key, context.final)

    def _learn(
        self,
        columns: Columns,
        label: Array,
        weight: Array,
        earlier: warm_start.Earlier | None,
        loss: Loss,
        context: FitContext,
    ) -> Learned:
        from proml_kedro.models.mixed.memory.fit import fit

        spec, terms = self.spec, self._terms
        hashes = arrange.hash_rows(terms, columns, label, weight)
        plan = warm_start.nothing_held(terms, len(label))
        if earlier is not None:
            plan = warm_start.make_plan(spec, terms, earlier, columns, hashes)
        unit = Unit.of(label, weight, loss, centred=not plan.fixed)
        found = fit(
            arrange.arrange_rows(terms, columns, label, weight, unit, plan, context.seed),
            arrange.covariances(terms, unit, plan),
            self._settings(loss, plan.variances),
            context.hardware.threads,
            arrange.start(terms, earlier, unit, plan) if earlier else None,
            context.checkpoints,
        )
        self._say_how_it_ended(found, loss, context.key)
        return arrange.keep(terms, columns, weight, hashes, unit.restore(found), plan, earlier, loss)

    def _say_how_it_ended(self, found: Fit, loss: Loss, key: str) -> None:
        if not found.converged:
            logger.warning("%s: stopped after %d steps without converging: %s", key, *_last_step(found))
        deviation = math.sqrt(max(float(np.diag(one).max()) for one in found.covariances))
        if self.spec.method == "laplace" and loss == "logistic" and deviation > _WIDE:
            finding = f"'laplace' finds a deviation of {deviation:.1f}"
            known = "it is wrong where events are rare and entities have few rows; compare with method: variational"
            logger.warning("%s: %s: %s", key, finding, known)

    def _settings(self, loss: Loss, held: bool) -> Settings:
        from proml_kedro.models.mixed.memory.settings import Settings

        return Settings(
            loss=loss,
            method=self.spec.method,
            penalty=self.spec.penalty,
            l1=self.spec.l1,
            max_iterations=self.spec.max_iterations,
            estimate_dispersion=not held,
        )

    def _sample(self, examples: Examples, context: FitContext) -> Examples:
        """The examples without those that are beyond the bounds on rows of an entity."""
        generator = np.random.default_rng(context.seed)
        stays = np.ones(len(examples), np.bool_)
        for one in self.spec.coefficients:
            if one.max_rows is not None:
                stays &= sample(self._terms.number(examples.columns, one), one.max_rows, generator)
        if stays.all():
            return examples
        logger.info("%s: %s rows are left out by max_rows", context.key, f"{np.count_nonzero(~stays):,}")
        return examples.take(stays)

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Margin and probability, or margin, mean and variance, averaged over the posterior."""
        learned = self._learned
        said = predict(learned.loss, *score.moments(self._terms, learned, columns), learned.dispersion)
        return said if "mean" in said else {**said, "probability": sigmoid(said["margin"])}

    def _shares(self, columns: Columns) -> dict[str, float]:
        """Standard deviation over rows of what each input adds to the margin, summing to 1; of a sample of them."""
        every = slice(None, None, max(1, row_count(columns) // _ROWS_FOR_IMPORTANCE))
        columns = {name: values[every] for name, values in columns.items()}
        size = {one.name: 0.0 for one in self.inputs}
        for names, added in score.contributions(self._terms, self._learned, columns):
            for name in names:
                size[name] += float(added.std()) / len(names)
        total = sum(size.values()) or 1.0
        return {name: value / total for name, value in size.items()}

    def save(self, folder: Path) -> None:
        """``model.json`` and ``scales.json``, and for each term by level ``.npy`` files that load without reading."""
        self._terms.save(folder)
        self._learned.save(folder)

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """What :meth:`save` wrote. Coefficients are memory-mapped: processes share them, and read what they use."""
        component = cls(spec, inputs)
        component._terms.load(folder)
        component._learned = Learned.load(folder, len(component._terms.categories))
        return component

    def effects_of(self, entity: Mapping[str, str]) -> list[EntityEffect]:
        """The coefficients of an entity, inputs to values, in every effect whose inputs are all given."""
        return list(effects.of_entity(self._terms, self._learned, entity))

    def most_different(self, count: int) -> list[EntityEffect]:
        """For each coefficient of each effect the ``count`` entities that are farthest from the population."""
        return list(effects.most_different(self._terms, self._learned, count))

    def fixed_effects(self) -> list[FixedEffect]:
        """The coefficients that hold for all rows."""
        return list(effects.fixed_effects(self._terms, self._learned))

    def population(self) -> list[Population]:
        """How the coefficients of each random effect differ over the entities."""
        return list(effects.population(self._terms, self._learned))

    @property
    def entity_inputs(self) -> list[str]:
        """The inputs that entities are named by."""
        return list(dict.fromkeys(name for one in self._terms.effects for name in one.entity))

    def report(self, folder: Path, name: str) -> list[str]:
        """Plots of the effects' distribution, of shrinkage, and of the entities that differ most."""
        from proml_kedro.models.mixed.plots import draw

        return draw(folder, name, self._terms, self._learned)

    def importance(self) -> dict[str, float]:
        """Share of each input in the standard deviations of the terms over the training rows."""
        return self._learned.importance

    def summary(self) -> dict[str, Any]:
        """Steps and passes taken, whether they converged, and the standard deviations of the random effects."""
        return self._learned.facts


def _last_step(found: Fit) -> tuple[int, str]:
    last = found.history[-1]
    moved = f"the last moved margins by {last['step']:.2g}, and variances by {last['change']:.1%}"
    return found.iterations, f"{moved}; raise max_iterations to go on"
