"""``kind: mixed``: a generalized linear mixed model (GLMix; Zhang et al., KDD 2016)."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import row_count, sigmoid
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input
from proml_kedro.models.mixed.spec import INTERCEPT, MixedSpec, RandomEffectSpec
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.spec.model import ComponentSpec

if TYPE_CHECKING:
    from proml_kedro.models.mixed.design import Rows
    from proml_kedro.models.mixed.empirical_bayes import Covariance
    from proml_kedro.models.mixed.engine import Fit

logger = logging.getLogger(__name__)

_ROWS_FOR_IMPORTANCE = 20_000
_START_VARIANCE = 0.2  # of a random effect, before it is estimated


class Mixed(Component):
    """Fixed effects, or another component's margin, and coefficients of its own for each entity.

    Numbers are standardised; one that is missing counts as the mean, and as a fixed effect has a coefficient for being
    missing. Where the entity is unknown or missing its effect is that of the population, zero, with the variance of
    the population. The margin is averaged over the posterior of the effects: ``eta / sqrt(1 + pi v / 8)`` for the
    log-odds ``eta`` and their variance ``v`` (MacKay, 1992), so that what is not known well is said less firmly.
    """

    Spec: ClassVar[type[ComponentSpec]] = MixedSpec
    spec: MixedSpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        self._terms = Terms(self.spec, self.inputs)
        self._fixed: Array = np.zeros(1)  # intercept, numbers, numbers being missing
        self._categories: list[Array] = []  # of each categorical fixed effect: (levels,)
        self._effects: list[Array] = []  # of each random effect: posterior means, (entities, d)
        self._uncertainties: list[Array] = []  # and posterior covariances, (entities, d, d)
        self._covariances: list[Array] = []  # and the covariance of the population, (d, d)
        self._importance: dict[str, float] = {}
        self._facts: dict[str, Any] = {}

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Estimate coefficients and variances together. Nothing is to be chosen: final, it learns from both periods."""
        from proml_kedro.models.mixed.engine import Settings, fit

        examples = train.join(validation) if context.final and self.spec.refit else train
        for name in self._terms.learn(examples.columns):
            logger.warning("%s: %s is constant and says nothing", context.key, name)
        settings = Settings(
            variational=self.spec.method == "variational",
            penalty=self.spec.penalty,
            max_iterations=self.spec.max_iterations,
        )
        covariances = [_covariance(one) for one in self.spec.random_effects]
        found = fit(self._rows(examples), covariances, settings, context.hardware.threads)
        if not found.converged:
            logger.warning("%s: stopped after %d steps without converging: %s", context.key, *_last_step(found))
        self._take(found)
        self._importance = self._shares(examples.columns)

    def _rows(self, examples: Examples) -> Rows:
        from proml_kedro.models.mixed.design import Category, Effect, arrange

        columns, terms = examples.columns, self._terms
        return arrange(
            examples.label,
            terms.offset(columns),
            terms.fixed(columns),
            [Category(codes, max(levels, 1)) for codes, levels in terms.category_codes(columns)],
            [
                Effect(codes, terms.slopes(columns, one).astype(np.float32), max(levels, 1))
                for one, (codes, levels) in zip(terms.effects, terms.effect_codes(columns), strict=True)
            ],
        )

    def _take(self, found: Fit) -> None:
        """Keep what was found, by entity in the precision in which it is saved."""
        self._fixed, self._covariances = found.fixed, found.covariances
        self._categories = [one.astype(np.float32) for one in found.categories]
        self._effects = [one.astype(np.float32) for one in found.effects]
        self._uncertainties = [one.astype(np.float32) for one in found.uncertainties]
        self._facts = {
            "iterations": found.iterations,
            "passes": found.passes,
            "converged": found.converged,
            "entities": sum(len(one) for one in found.effects),
        }
        for one, covariance in zip(self._terms.effects, found.covariances, strict=True):
            for feature, variance in zip(one.features, np.diag(covariance), strict=True):
                self._facts[f"deviation of {one.title} {feature}"] = round(math.sqrt(variance), 4)

    def _contributions(self, columns: Columns) -> Iterator[tuple[Sequence[str], Array]]:
        """What each term adds to the log-odds, shape (n,), and the inputs that it comes from."""
        terms = self._terms
        design = terms.fixed(columns)
        yield (), design[:, 0] * self._fixed[0]
        for position, name in enumerate(terms.fixed_names, start=1):
            yield (name,), design[:, position] * self._fixed[position]
        for name, (codes, _), coefficients in zip(
            terms.categories, terms.category_codes(columns), self._categories, strict=True
        ):
            yield (name,), _of_level(coefficients, codes)
        if self.spec.offset is not None:
            yield (self.spec.offset,), terms.offset(columns)
        for one, (codes, _), means in zip(terms.effects, terms.effect_codes(columns), self._effects, strict=True):
            added = _of_level(means, codes) * terms.slopes(columns, one)
            for position, feature in enumerate(one.features):
                yield (one.entity if feature == INTERCEPT else (feature,)), added[:, position]

    def _variance(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Of the log-odds: z'Vz summed over the random effects, taken as independent; shape (n,)."""
        total = np.zeros(row_count(columns))
        terms = self._terms
        known = zip(terms.effects, terms.effect_codes(columns), self._uncertainties, self._covariances, strict=True)
        for one, (codes, _), uncertainty, covariance in known:
            z = terms.slopes(columns, one)
            each = _of_level(uncertainty, codes)
            each[codes < 0] = covariance
            total += np.einsum("na,nab,nb->n", z, each, z)
        return total

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Margin (log-odds) and probability, averaged over the posterior."""
        eta = np.sum([added for _, added in self._contributions(columns)], axis=0)
        margin = eta / np.sqrt(1.0 + math.pi / 8.0 * self._variance(columns))
        return {"margin": margin, "probability": sigmoid(margin)}

    def _shares(self, columns: Columns) -> dict[str, float]:
        """Standard deviation over rows of what each input adds to the log-odds, summing to 1; of a sample of them."""
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
        for name, array in self._arrays(self._categories, self._effects, self._uncertainties):
            np.save(folder / name, array, allow_pickle=False)
        model = {
            "fixed": self._fixed.tolist(),
            "covariances": [one.tolist() for one in self._covariances],
            "importance": self._importance,
            "facts": self._facts,
        }
        (folder / "model.json").write_text(json.dumps(model))

    @staticmethod
    def _arrays(
        categories: list[Array], effects: list[Array], uncertainties: list[Array]
    ) -> Iterator[tuple[str, Array]]:
        yield from ((f"category_{k}.coefficients.npy", one) for k, one in enumerate(categories))
        yield from ((f"effect_{k}.coefficients.npy", one) for k, one in enumerate(effects))
        yield from ((f"effect_{k}.covariances.npy", one) for k, one in enumerate(uncertainties))

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """What :meth:`save` wrote. Coefficients are memory-mapped: processes share them, and read what they use."""
        component = cls(spec, inputs)
        component._terms.load(folder)
        model = json.loads((folder / "model.json").read_text())
        component._fixed = np.array(model["fixed"])
        component._covariances = [np.array(one) for one in model["covariances"]]
        component._importance, component._facts = model["importance"], model["facts"]
        effects = range(len(component._terms.effects))
        component._categories = [
            _map(folder / f"category_{k}.coefficients.npy") for k in range(len(component._terms.categories))
        ]
        component._effects = [_map(folder / f"effect_{k}.coefficients.npy") for k in effects]
        component._uncertainties = [_map(folder / f"effect_{k}.covariances.npy") for k in effects]
        return component

    def importance(self) -> dict[str, float]:
        """Share of each input in the standard deviations of the terms over the training rows."""
        return self._importance

    def summary(self) -> dict[str, Any]:
        """Steps and passes taken, whether they converged, and the standard deviations of the random effects."""
        return self._facts


def _covariance(effect: RandomEffectSpec) -> Covariance:
    from proml_kedro.models.mixed.empirical_bayes import Covariance

    variances = np.broadcast_to(effect.variance or _START_VARIANCE, len(effect.features))
    return Covariance(np.diag(variances), effect.variance is None, effect.covariance == "diagonal")


def _last_step(found: Fit) -> tuple[int, str]:
    last = found.history[-1]
    return found.iterations, f"the last moved by {last['step']:.2g} log-odds, and variances by {last['change']:.1%}"


def _of_level(values: Array, codes: Array) -> Array:
    """The values of each row's level in float64, zero where the code is -1; shape (n, ...)."""
    found = values[np.maximum(codes, 0)].astype(np.float64)
    found[codes < 0] = 0.0
    return found


def _map(file: Path) -> Array:
    array: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    return array
