"""Going on from an earlier model: what is taken over, what is held as it was, and what is estimated anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns
from proml_kedro.models.mixed import row_hashes, score
from proml_kedro.models.mixed.encoding import Levels
from proml_kedro.models.mixed.fitted import Effect, Factors, Learned
from proml_kedro.models.mixed.spec import FIXED, MixedSpec
from proml_kedro.models.mixed.terms import Terms

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Earlier:
    """An earlier model of the same component.

    Attributes:
        terms: Its encodings.
        learned: What it has learned.
    """

    terms: Terms
    learned: Learned

    def effect(self, title: str, features: Sequence[str]) -> int | None:
        """The position of the random effect of these entities and features; None when it has none."""
        for position, one in enumerate(self.terms.effects):
            if one.title == title and list(one.features) == list(features):
                return position
        return None

    def factors(self, title: str, rank: int) -> int | None:
        """The position of the interaction of these entities and this rank; None when it has none."""
        for position, one in enumerate(self.terms.factors):
            if one.title == title and one.rank == rank:
                return position
        return None

    def laid_out(self, position: int, levels: Levels) -> Effect:
        """A random effect by other levels: an entity that it does not know has the population's."""
        known = self.learned.effects[position]
        places = self.terms.effect_levels[position].places(levels.keys)
        means, covariances = score.of_level(known.means, places), score.of_level(known.covariances, places)
        covariances[places < 0] = known.population
        rows = score.of_level(known.rows, places)
        sums = np.zeros(len(places), np.uint64)  # no rows, or not known which: every entity with rows has changed
        if known.digests is not None and len(known):
            sums = np.where(places < 0, np.uint64(0), known.digests[np.maximum(places, 0)])
        return Effect(means, covariances, rows, known.population, sums)


@dataclass
class Plan:
    """What of the new model is estimated from which rows, and what is held.

    Attributes:
        fixed: Whether the fixed effects are held.
        variances: Whether covariances and dispersion are.
        active: For each random effect the levels that are estimated; None for all of them.
        factors: For each interaction whether it is held.
        effects: For each random effect the earlier one by the new levels; None when there was none.
        offset: What is held adds to each row, shape (n,).
        variance: And how sure that is, shape (n,).
    """

    fixed: bool
    variances: bool
    active: list[npt.NDArray[np.int64] | None]
    factors: list[bool]
    effects: list[Effect | None]
    offset: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]


def check(
    spec: MixedSpec, terms: Terms, earlier: Earlier | None, loss: str, key: str, final: bool = True
) -> Earlier | None:
    """The earlier model as far as it is one to go on from.

    Args:
        spec: The component.
        terms: Its terms.
        earlier: The earlier model, or None.
        loss: What is minimised now.
        key: Where the component stands in the configuration.
        final: Whether no other component learns from this one. Copies that score their own fold have no earlier model,
            so that what is to be held is estimated in them.

    Raises:
        UserError: Something is to be held, and the earlier model does not have it.
    """
    wanted, problem = spec.needs_earlier, None
    if earlier is None:
        problem = "needs an earlier bundle to take it from: set training.warm_start"
    elif earlier.learned.loss != loss:
        problem = f"the earlier bundle's loss is '{earlier.learned.loss}', this one's '{loss}'"
    elif terms.offset_names != earlier.terms.offset_names:
        problem = "the earlier bundle's offset or exposure is another one"
    elif (FIXED in spec.locked or spec.update != "all") and terms.fixed_inputs != earlier.terms.fixed_inputs:
        problem = "the earlier bundle's fixed effects are others"
    else:
        missing = [one for one in _held_titles(spec) if not _has(earlier, spec, one)]
        problem = f"the earlier bundle has no such effect as '{missing[0]}'" if missing else None
    if problem and wanted and (final or earlier is not None):
        raise UserError.at(f"{key}.{wanted}", problem)
    if problem and earlier is not None:
        logger.warning("%s: starts afresh: %s", key, problem)
    return None if problem else earlier


def _held_titles(spec: MixedSpec) -> Iterator[str]:
    if spec.update != "all":
        yield from (one.title for one in spec.random_effects)
    else:
        yield from (one for one in spec.locked if one != FIXED)


def _has(earlier: Earlier, spec: MixedSpec, title: str) -> bool:
    effects = (earlier.effect(title, one.features) for one in spec.coefficients if one.title == title)
    factors = (earlier.factors(title, one.rank) for one in spec.factors if one.title == title)
    return all(position is not None for position in (*effects, *factors))


def nothing_held(terms: Terms, rows: int) -> Plan:
    """The plan of a model without an earlier one."""
    none = np.zeros(rows)
    return Plan(
        False, False, [None] * len(terms.effects), [False] * len(terms.factors), [None] * len(terms.effects), none, none
    )


def make_plan(spec: MixedSpec, terms: Terms, earlier: Earlier, columns: Columns, hashes: row_hashes.Hashes) -> Plan:
    """Which entities are estimated, and what is held for the others.

    Args:
        spec: The component.
        terms: Its terms, whose encodings have been learned.
        earlier: An earlier model that has all that is to be held.
        columns: The inputs.
        hashes: Of each row, shape (n,).
    """
    plan = nothing_held(terms, row_count(columns))
    some = spec.update != "all"
    plan.fixed = some or FIXED in spec.locked
    plan.variances = some
    plan.factors = [some or one.title in spec.locked for one in terms.factors]
    if plan.fixed:
        plan.offset = np.sum([added for _, added in score.fixed(earlier.terms, earlier.learned, columns)], axis=0)
    plan.variance = np.zeros(len(plan.offset))
    for k, (codes, levels) in enumerate(terms.effect_codes(columns)):
        one = terms.effects[k]
        position = earlier.effect(one.title, one.features)
        if position is None:
            continue
        known = plan.effects[k] = earlier.laid_out(position, terms.effect_levels[k])
        sums = known.digests
        if one.title in spec.locked:
            plan.active[k] = np.zeros(0, np.int64)
        elif some:
            now, present = row_hashes.by_level(hashes, codes, levels), np.bincount(codes[codes >= 0], minlength=levels)
            plan.active[k] = np.flatnonzero((present > 0) & (now != sums))
        if (active := plan.active[k]) is not None:
            _hold(plan, known, np.where(np.isin(codes, active), -1, codes), terms.slopes(columns, one))
    for k, (places, _) in enumerate(terms.factor_codes(columns)):
        if plan.factors[k]:
            mean, variance = held_factors(terms, earlier, k).moments(places)
            plan.offset, plan.variance = plan.offset + mean, plan.variance + variance
    return plan


def _hold(plan: Plan, known: Effect, codes: Array, z: npt.NDArray[np.float64]) -> None:
    """Add the effect to what is held, for rows with a code."""
    plan.offset = plan.offset + (score.of_level(known.means, codes) * z).sum(1)
    plan.variance = plan.variance + np.where(codes < 0, 0.0, score.effect_variance(known, codes, z))


def held_factors(terms: Terms, earlier: Earlier, k: int) -> Factors:
    """The earlier interaction that is held."""
    position = earlier.factors(terms.factors[k].title, terms.factors[k].rank)
    assert position is not None  # noqa: S101 - checked before
    return earlier.learned.factors[position]


def relaid_factors(terms: Terms, earlier: Earlier, k: int) -> Array | None:
    """The earlier factors by the new levels, NaN where not known, to start from; None when there were none."""
    one = terms.factors[k]
    position = earlier.factors(one.title, one.rank)
    if position is None:
        return None
    known, parts = earlier.learned.factors[position], []
    for field, levels in enumerate(terms.factor_levels[k]):
        places = earlier.terms.factor_levels[position][field].places(levels.keys)
        part = known.means[known.starts[field] + np.maximum(places, 0)].astype(np.float64)
        part[places < 0] = np.nan
        rest = max(len(levels), 1) - len(levels) + 1  # the place for what is not known, and for a field without levels
        parts += [part, np.full((rest, one.rank), np.nan)]
    return np.concatenate(parts)
