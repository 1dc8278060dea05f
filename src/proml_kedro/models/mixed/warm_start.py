"""Warm start from a previous model: what is taken over, what is kept fixed, and what is estimated anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns, FitContext
from proml_kedro.models.mixed import row_hashes, score
from proml_kedro.models.mixed.encoding import Levels
from proml_kedro.models.mixed.fitted import FittedEffect, FittedFactors, FittedModel
from proml_kedro.models.mixed.spec import FIXED, Loss, MixedSpec
from proml_kedro.models.mixed.terms import Terms

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreviousModel:
    """Earlier model of the same component, from ``training.warm_start``.

    Attributes:
        terms: Its encodings.
        fitted: Its coefficients.
    """

    terms: Terms
    fitted: FittedModel

    def find_effect(self, title: str, features: Sequence[str]) -> int | None:
        """Find the position of the random effect with these entities and features; None when it has none."""
        for position, one in enumerate(self.terms.effects):
            if one.title == title and list(one.features) == list(features):
                return position
        return None

    def find_factors(self, title: str, rank: int) -> int | None:
        """Find the position of the interaction with these entities and this rank; None when it has none."""
        for position, one in enumerate(self.terms.factors):
            if one.title == title and one.rank == rank:
                return position
        return None

    def effect_for(self, position: int, levels: Levels) -> FittedEffect:
        """Rearrange a random effect by other levels. An entity that it does not know has the population's effect.

        Args:
            position: Position of the random effect.
            levels: Levels of the new model.
        """
        known = self.fitted.effects[position]
        places = self.terms.effect_levels[position].places(levels.keys)
        means, covariances = score.rows_of_level(known.means, places), score.rows_of_level(known.covariances, places)
        covariances[places < 0] = known.population
        rows = score.rows_of_level(known.rows, places)
        sums = np.zeros(len(places), np.uint64)  # without known rows, every entity that has rows now has changed
        if known.digests is not None and len(known):
            sums = np.where(places < 0, np.uint64(0), known.digests[np.maximum(places, 0)])
        averaged = None
        if known.averaged is not None:
            averaged = score.rows_of_level(known.averaged, places)
            averaged[places < 0] = known.population
        return FittedEffect(means, covariances, rows, known.population, sums, averaged)

    def factors_for(self, terms: Terms, k: int) -> Array | None:
        """Rearrange the means of an interaction by the levels of a new model, as initial values.

        Args:
            terms: Terms of the new model.
            k: Position of the interaction among them.

        Returns:
            Shape (places, rank), NaN for unknown levels; None when the model has no such interaction.
        """
        one = terms.factors[k]
        position = self.find_factors(one.title, one.rank)
        if position is None:
            return None
        known, parts = self.fitted.factors[position], []
        for number, levels in enumerate(terms.factor_levels[k]):
            places = self.terms.factor_levels[position][number].places(levels.keys)
            part = known.means[known.starts[number] + np.maximum(places, 0)].astype(np.float64)
            part[places < 0] = np.nan
            rest = max(len(levels), 1) - len(levels) + 1  # the place for an unknown level, and a field without levels
            parts += [part, np.full((rest, one.rank), np.nan)]
        return np.concatenate(parts)

    def locked_factors(self, terms: Terms, k: int) -> FittedFactors:
        """Return the interaction that a new model keeps as it is.

        Args:
            terms: Terms of the new model.
            k: Position of the interaction among them.
        """
        position = self.find_factors(terms.factors[k].title, terms.factors[k].rank)
        assert position is not None  # noqa: S101 - checked before
        return self.fitted.factors[position]


@dataclass
class EstimationPlan:
    """Plan of what is estimated, and what is kept as the previous model has it.

    Attributes:
        fixed_locked: Whether the fixed effects are kept.
        variances_locked: Whether covariances and dispersion are kept.
        active: For each random effect the levels that are estimated; None for all of them.
        factors_locked: For each interaction whether it is kept.
        effects: For each random effect the previous one, by the new levels; None when there was none.
        offset: Contribution of what is kept to the margin of each row, shape (n,).
        variance: Posterior variance of the same, shape (n,).
    """

    fixed_locked: bool
    variances_locked: bool
    active: list[npt.NDArray[np.int64] | None]
    factors_locked: list[bool]
    effects: list[FittedEffect | None]
    offset: npt.NDArray[np.float64] = field(repr=False)
    variance: npt.NDArray[np.float64] = field(repr=False)

    @classmethod
    def without_previous(cls, terms: Terms, rows: int) -> EstimationPlan:
        """Plan a model that starts afresh: everything is estimated."""
        count, none = len(terms.effects), np.zeros(rows)
        return cls(
            fixed_locked=False,
            variances_locked=False,
            active=[None] * count,
            factors_locked=[False] * len(terms.factors),
            effects=[None] * count,
            offset=none,
            variance=none,
        )

    def keep(self, effect: FittedEffect, codes: Array, z: npt.NDArray[np.float64]) -> None:
        """Add a random effect to what is kept, for the rows with a code; z are the slopes, shape (n, d)."""
        self.offset = self.offset + (score.rows_of_level(effect.means, codes) * z).sum(1)
        self.variance = self.variance + np.where(codes < 0, 0.0, score.effect_variance(effect, codes, z))


def check_previous(
    spec: MixedSpec, terms: Terms, previous: PreviousModel | None, loss: Loss, context: FitContext
) -> PreviousModel | None:
    """Check that a previous model can be continued. One that cannot is dropped with a warning.

    Copies of the component that score their own fold (``context.final`` is false) have no previous model; what is
    locked is estimated in them.

    Raises:
        UserError: Something is locked, and the previous model does not have it.
    """
    problem = _find_problem(spec, terms, previous, loss)
    if problem and spec.needs_earlier and (context.final or previous is not None):
        raise UserError.at(f"{context.key}.{spec.needs_earlier}", problem)
    if problem and previous is not None:
        logger.warning("%s: starts afresh: %s", context.key, problem)
    return None if problem else previous


def _find_problem(spec: MixedSpec, terms: Terms, previous: PreviousModel | None, loss: Loss) -> str | None:
    if previous is None:
        return "needs an earlier bundle to take it from: set training.warm_start"
    if previous.fitted.loss != loss:
        return f"the earlier bundle's loss is '{previous.fitted.loss}', this one's '{loss}'"
    if terms.offset_names != previous.terms.offset_names:
        return "the earlier bundle's offset or exposure is another one"
    if spec.locks_fixed and terms.fixed_inputs != previous.terms.fixed_inputs:
        return "the earlier bundle's fixed effects are others"
    missing = [one for one in _locked_titles(spec) if not _has(previous, spec, one)]
    return f"the earlier bundle has no such effect as '{missing[0]}'" if missing else None


def _locked_titles(spec: MixedSpec) -> Iterator[str]:
    if spec.update != "all":
        yield from (one.title for one in spec.effects)
    else:
        yield from (one for one in spec.locked if one != FIXED)


def _has(previous: PreviousModel, spec: MixedSpec, title: str) -> bool:
    effects = (previous.find_effect(title, one.features) for one in spec.coefficients if one.title == title)
    factors = (previous.find_factors(title, one.rank) for one in spec.factors if one.title == title)
    return all(position is not None for position in (*effects, *factors))


def make_plan(
    spec: MixedSpec, terms: Terms, previous: PreviousModel, columns: Columns, hashes: row_hashes.Hashes
) -> EstimationPlan:
    """Decide which entities are estimated, and compute what the kept ones add to each row.

    Args:
        spec: The component.
        terms: Its terms, whose encodings have been learned.
        previous: A previous model that has all that is locked.
        columns: The inputs.
        hashes: Hash of each row, shape (n,).
    """
    plan = EstimationPlan.without_previous(terms, row_count(columns))
    some = spec.update != "all"
    plan.fixed_locked = spec.locks_fixed
    plan.variances_locked = some
    plan.factors_locked = [some or one.title in spec.locked for one in terms.factors]
    if plan.fixed_locked:
        kept = score.fixed_contributions(previous.terms, previous.fitted, columns)
        plan.offset = np.sum([added for _, added in kept], axis=0)
    for k, (codes, levels) in enumerate(terms.effect_codes(columns)):
        one = terms.effects[k]
        position = previous.find_effect(one.title, one.features)
        if position is None:
            continue
        known = plan.effects[k] = previous.effect_for(position, terms.effect_levels[k])
        if one.title in spec.locked:
            plan.active[k] = np.zeros(0, np.int64)
        elif some:
            now, present = row_hashes.by_level(hashes, codes, levels), np.bincount(codes[codes >= 0], minlength=levels)
            plan.active[k] = np.flatnonzero((present > 0) & (now != known.digests))
        if (active := plan.active[k]) is not None:
            plan.keep(known, np.where(np.isin(codes, active), -1, codes), terms.slopes(columns, one))
    for k, (places, _) in enumerate(terms.factor_codes(columns)):
        if plan.factors_locked[k]:
            mean, variance = previous.locked_factors(terms, k).moments(places)
            plan.offset, plan.variance = plan.offset + mean, plan.variance + variance
    return plan
