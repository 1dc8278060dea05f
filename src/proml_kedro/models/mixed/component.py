"""``kind: mixed``: a generalized linear mixed model (GLMix; Zhang et al., KDD 2016)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Columns, Component, Examples, FitContext, Input
from proml_kedro.models.effects import Contrast, EntityEffect, FixedEffect, Population
from proml_kedro.models.mixed import effects, score
from proml_kedro.models.mixed.choose_engine import is_streamed, would_stream
from proml_kedro.models.mixed.fitted import FittedModel
from proml_kedro.models.mixed.losses import predict
from proml_kedro.models.mixed.notes import listed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.models.mixed.warm_start import PreviousModel, check_previous
from proml_kedro.models.updates import UpdateFacts
from proml_kedro.spec.model import ComponentSpec

logger = logging.getLogger(__name__)

_OF_ROW, _OF_NUMBER, _OF_CATEGORY, _OF_SLOPE = 180, 26, 25, 20
"""Bytes that a fit in memory was measured to hold of each row, and in it of each fixed number, each fixed category and
each feature of a random effect; beside them there is each input in single precision."""


class Mixed(Component):
    """Generalized linear mixed model: fixed effects, an offset, and coefficients for each entity.

    Numbers are standardised. A missing number counts as the mean; as a fixed effect it also has a coefficient for
    being missing. An unknown or missing entity has the effect zero, with the variance of the population. Predictions
    are averaged over the posterior of the effects (:func:`.losses.predict`), so that uncertain ones are less extreme.
    """

    Spec: ClassVar[type[ComponentSpec]] = MixedSpec
    spec: MixedSpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        self._terms = Terms(self.spec, self.inputs)
        self._model = FittedModel()

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Estimate coefficients and variances together. The final model is trained on both periods.

        Raises:
            UserError: The labels are not in the domain of the loss, no example has a label and a positive weight, or
                something is locked that the previous model does not have.
        """
        spec, terms = self.spec, self._terms
        periods = [train, validation] if context.final and spec.refit else [train]
        streamed = is_streamed(spec, [*terms.numbers, *terms.categories], periods, context)
        self._model = _engine(streamed)(spec, terms, periods, self._previous(context), context)
        if unread := spec.unread_inputs(terms.inputs):
            note = f"{listed(unread)}: in no term of the model, and change nothing; name them under `fixed`"
            logger.warning("%s: %s", context.key, note)
            self._model.facts["notes"] = [note, *self._model.facts.get("notes", ())]
        self._model.at_mode = spec.method == "pql" and self._model.loss != "linear" and not spec.factors

    def update(self, examples: Examples, key: str) -> UpdateFacts:
        """Learn from new rows: their entities, in every effect, from what was known of them on."""
        from proml_kedro.models.mixed.update import update_model

        return update_model(self.spec, self._terms, self._model, examples, key)

    def memory_needed(self, rows: int, precision: str) -> int:
        """Estimate what columns, names, and the rows sorted by entity need; rows that are streamed are never held."""
        spec, terms = self.spec, self._terms
        fixed = [*terms.numbers, *terms.categories]
        if would_stream(spec, rows) and not spec.streaming_obstacles(fixed):
            return 0
        slopes = sum(len(one.features) for one in terms.effects)
        of_terms = _OF_NUMBER * len(terms.numbers) + _OF_CATEGORY * len(terms.categories) + _OF_SLOPE * slopes
        return rows * (_OF_ROW + of_terms) + super().memory_needed(rows, precision)

    def _previous(self, context: FitContext) -> PreviousModel | None:
        """Return the previous model if it can be continued."""
        before = context.previous
        previous = PreviousModel(before._terms, before._model) if isinstance(before, Mixed) else None
        return check_previous(self.spec, self._terms, previous, self.spec.loss_for(context.task), context)

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Predict margin and probability, or margin, mean and variance, averaged over the posterior."""
        model = self._model
        predicted = predict(model.loss, *score.moments(self._terms, model, columns), model.dispersion)
        return predicted if "mean" in predicted else {**predicted, "probability": sigmoid(predicted["margin"])}

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``scales.json``, and for each term ``.npy`` files that can be memory-mapped."""
        self._terms.save(folder)
        self._model.save(folder)

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Load what :meth:`save` wrote. Coefficients are memory-mapped: processes share them."""
        component = cls(spec, inputs)
        component._terms.load(folder)
        component._model = FittedModel.load(folder, len(component._terms.categories))
        return component

    def effects_of(self, entity: Mapping[str, str]) -> list[EntityEffect]:
        """List the coefficients of an entity, given as input to value, in every effect whose inputs are all given."""
        return list(effects.of_entity(self._terms, self._model, entity))

    def most_different(self, count: int) -> list[EntityEffect]:
        """List for each coefficient of each effect the ``count`` entities that are farthest from the population."""
        return list(effects.most_different(self._terms, self._model, count))

    def fixed_effects(self) -> list[FixedEffect]:
        """List the coefficients that are common to all rows."""
        return list(effects.fixed_effects(self._terms, self._model))

    def contrast(self, text: str) -> Contrast:
        """Compute a linear combination of fixed effects in raw units, such as ``city = Lima - city = Oslo``."""
        return effects.contrast_of(self._terms, self._model, text)

    def population(self) -> list[Population]:
        """List the variance components: the spread of each coefficient over the entities."""
        return list(effects.population(self._terms, self._model))

    @property
    def entity_inputs(self) -> list[str]:
        """Inputs that name the entities."""
        return list(dict.fromkeys(name for one in self._terms.effects for name in one.entity))

    def report(self, folder: Path, name: str) -> list[str]:
        """Draw the distribution of the effects, their shrinkage, and the entities that differ most."""
        from proml_kedro.models.mixed.plots import draw

        return draw(folder, name, self._terms, self._model)

    def importance(self) -> dict[str, float]:
        """Return the share of each input in the standard deviations of the terms over the training rows."""
        return self._model.importance

    def summary(self) -> dict[str, Any]:
        """Return steps and passes taken, whether they converged, and the deviations of the random effects."""
        return self._model.facts


Engine = Callable[[MixedSpec, Terms, Sequence[Examples], PreviousModel | None, FitContext], FittedModel]
"""Fits a spec and its terms to training rows, one set after the other, from a previous model or afresh."""


def _engine(streamed: bool) -> Engine:
    """Import an engine when it is needed: a model that only scores needs none of the kernels."""
    if streamed:
        from proml_kedro.models.mixed.streamed.engine import fit_model as fit_streamed

        return fit_streamed
    from proml_kedro.models.mixed.memory.engine import fit_model as fit_in_memory

    return fit_in_memory
