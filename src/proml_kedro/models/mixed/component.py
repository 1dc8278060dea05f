"""``kind: mixed``: a generalized linear mixed model (GLMix; Zhang et al., KDD 2016)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count, sigmoid
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input
from proml_kedro.models.mixed import prepare
from proml_kedro.models.mixed.learned import Effect, Factors, Learned
from proml_kedro.models.mixed.losses import predict
from proml_kedro.models.mixed.spec import INTERCEPT, MixedSpec, RandomEffectSpec
from proml_kedro.models.mixed.streamed.choice import is_streamed
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.spec.model import ComponentSpec

if TYPE_CHECKING:
    from proml_kedro.models.mixed.empirical_bayes import Covariance
    from proml_kedro.models.mixed.engine import Fit
    from proml_kedro.models.mixed.factors import Interaction

logger = logging.getLogger(__name__)

_ROWS_FOR_IMPORTANCE = 20_000
_START_VARIANCE = 0.2  # of a random effect, before it is estimated


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
            UserError: The labels are not such as the loss is about, or no example counts.
        """
        from proml_kedro.models.mixed.engine import Settings, fit

        periods = [train, validation] if context.final and self.spec.refit else [train]
        if is_streamed(self.spec, [*self._terms.numbers, *self._terms.categories], periods, context):
            from proml_kedro.models.mixed.streamed.learn import learn

            self._learned = learn(self.spec, self._terms, periods, _covariance(self.spec.coefficients[0], 1), context)
            return
        loss = self.spec.loss_for(context.task)
        examples = train.join(validation) if len(periods) > 1 else train
        examples = self._sample(prepare.usable(examples, self.spec.exposure, context.key), context)
        prepare.check_label(examples.label, loss, context.key)
        weight = prepare.weights(examples)
        for name in self._terms.learn(examples.columns, weight):
            logger.warning("%s: %s is constant and says nothing", context.key, name)
        unit = prepare.Unit.of(examples.label, weight, loss)
        settings = Settings(
            loss=loss,
            variational=self.spec.method == "variational",
            penalty=self.spec.penalty,
            l1=self.spec.l1,
            max_iterations=self.spec.max_iterations,
        )
        covariances = [_covariance(one, unit.deviation) for one in self.spec.coefficients]
        rows = self._terms.rows(examples.columns, unit.remove(examples.label), unit.deviation, weight, context.seed)
        found = unit.restore(fit(rows, covariances, settings, context.hardware.threads))
        if not found.converged:
            logger.warning("%s: stopped after %d steps without converging: %s", context.key, *_last_step(found))
        self._learned = self._keep(found, examples.columns, weight, settings.loss)
        self._learned.importance = self._shares(examples.columns)

    def _sample(self, examples: Examples, context: FitContext) -> Examples:
        """The examples without those that are beyond the bounds on rows of an entity."""
        generator = np.random.default_rng(context.seed)
        stays = np.ones(len(examples), np.bool_)
        for one in self.spec.coefficients:
            if one.max_rows is not None:
                stays &= prepare.sample(self._terms.number(examples.columns, one), one.max_rows, generator)
        if stays.all():
            return examples
        logger.info("%s: %s rows are left out by max_rows", context.key, f"{np.count_nonzero(~stays):,}")
        return examples.take(stays)

    def _keep(self, found: Fit, columns: Columns, weight: Array, loss: Any) -> Learned:
        """What was found, by entity in the precision in which it is saved."""
        facts: dict[str, Any] = {
            "iterations": found.iterations,
            "passes": found.passes,
            "converged": found.converged,
            "entities": sum(len(one) for one in found.effects),
            "log likelihood": round(found.log_likelihood, 2),
        }
        effects = []
        known = zip(
            self._terms.effects,
            self._terms.effect_codes(columns),
            found.effects,
            found.uncertainties,
            found.covariances,
            strict=True,
        )
        for spec, (codes, levels), means, uncertainties, population in known:
            rows = np.bincount(codes[codes >= 0], weight[codes >= 0], max(levels, 1))
            effects.append(
                Effect(means.astype(np.float32), uncertainties.astype(np.float32), rows.astype(np.float32), population)
            )
            for feature, variance in zip(spec.features, np.diag(population), strict=True):
                facts[f"deviation of {spec.title} {feature}"] = round(math.sqrt(variance), 4)
        if loss == "linear":
            facts["residual deviation"] = round(math.sqrt(found.dispersion), 4)
        categories = [one.astype(np.float32) for one in found.categories]
        factors = [_factors(one) for one in found.interactions]
        return Learned(loss, found.fixed, categories, effects, factors, found.dispersion, {}, facts)

    def _contributions(self, columns: Columns) -> Iterator[tuple[Sequence[str], Array]]:
        """What each term adds to the margin, shape (n,), and the inputs that it comes from."""
        terms, learned = self._terms, self._learned
        design = terms.fixed(columns)
        yield (), design[:, 0] * learned.fixed[0]
        for position, name in enumerate(terms.fixed_names, start=1):
            yield (name,), design[:, position] * learned.fixed[position]
        for name, (codes, _), coefficients in zip(
            terms.categories, terms.category_codes(columns), learned.categories, strict=True
        ):
            yield (name,), of_level(coefficients, codes)
        if terms.offset_names:
            yield terms.offset_names, terms.offset(columns)
        for one, (codes, _), effect in zip(terms.effects, terms.effect_codes(columns), learned.effects, strict=True):
            added = of_level(effect.means, codes) * terms.slopes(columns, one)
            for position, feature in enumerate(one.features):
                yield (one.entity if feature == INTERCEPT else (feature,)), added[:, position]

        for spec, (places, _), factors in zip(terms.factors, terms.factor_codes(columns), learned.factors, strict=True):
            yield spec.entity, factors.moments(places)[0]

    def _variance(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Of the margin: z'Vz summed over the random effects, taken as independent; shape (n,)."""
        total = np.zeros(row_count(columns))
        terms = self._terms
        for one, (codes, _), effect in zip(
            terms.effects, terms.effect_codes(columns), self._learned.effects, strict=True
        ):
            z = terms.slopes(columns, one)
            each = of_level(effect.covariances, codes)
            each[codes < 0] = effect.population
            total += np.einsum("na,nab,nb->n", z, each, z)
        for (places, _), factors in zip(terms.factor_codes(columns), self._learned.factors, strict=True):
            total += factors.moments(places)[1]
        return total

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Margin and probability, or margin, mean and variance, averaged over the posterior."""
        eta = np.sum([added for _, added in self._contributions(columns)], axis=0)
        said = predict(self._learned.loss, eta, self._variance(columns), self._learned.dispersion)
        return said if "mean" in said else {**said, "probability": sigmoid(said["margin"])}

    def _shares(self, columns: Columns) -> dict[str, float]:
        """Standard deviation over rows of what each input adds to the margin, summing to 1; of a sample of them."""
        every = slice(None, None, max(1, row_count(columns) // _ROWS_FOR_IMPORTANCE))
        columns = {name: values[every] for name, values in columns.items()}
        size = {one.name: 0.0 for one in self.inputs}
        for names, added in self._contributions(columns):
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

    def importance(self) -> dict[str, float]:
        """Share of each input in the standard deviations of the terms over the training rows."""
        return self._learned.importance

    def summary(self) -> dict[str, Any]:
        """Steps and passes taken, whether they converged, and the standard deviations of the random effects."""
        return self._learned.facts


def _factors(found: Interaction) -> Factors:
    starts = [one.start for one in found.fields] + [len(found.table)]
    return Factors(found.table.astype(np.float32), found.variances.astype(np.float32), starts)


def _covariance(effect: RandomEffectSpec, deviation: float) -> Covariance:
    """Of a random effect, when margins are in units of ``deviation``."""
    from proml_kedro.models.mixed.empirical_bayes import Covariance

    given = _START_VARIANCE if effect.variance is None else np.asarray(effect.variance) / deviation**2
    variances = np.broadcast_to(given, len(effect.features))
    return Covariance(np.diag(variances), effect.variance is None, effect.covariance == "diagonal")


def _last_step(found: Fit) -> tuple[int, str]:
    last = found.history[-1]
    return found.iterations, f"the last moved margins by {last['step']:.2g}, and variances by {last['change']:.1%}"


def of_level(values: Array, codes: Array) -> Array:
    """The values of each row's level in float64, zero where the code is -1; shape (n, ...)."""
    found = values[np.maximum(codes, 0)].astype(np.float64)
    found[codes < 0] = 0.0
    return found
