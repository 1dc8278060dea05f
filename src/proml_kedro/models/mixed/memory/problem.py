"""Problem of a fit in memory: training rows, terms and plan, and what the fit makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns
from proml_kedro.models.mixed import row_hashes
from proml_kedro.models.mixed.covariance import Covariance, first_covariance
from proml_kedro.models.mixed.label_unit import LabelUnit
from proml_kedro.models.mixed.memory.checkpoint import InitialCoefficients
from proml_kedro.models.mixed.memory.design import Design, lay_out
from proml_kedro.models.mixed.memory.observations import (
    CategoryTerm,
    DesignTerms,
    FactorsTerm,
    Observations,
    RandomEffectTerm,
)
from proml_kedro.models.mixed.score import rows_of_level
from proml_kedro.models.mixed.spec import Loss, MixedSpec
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.models.mixed.warm_start import EstimationPlan, PreviousModel, make_plan


@dataclass(frozen=True)
class FitProblem:
    """Training rows, and what is estimated from them.

    Attributes:
        terms: Terms whose encodings have been learned.
        columns: Inputs of n rows.
        label: Shape (n,).
        weight: Shape (n,), positive.
        loss: Loss that is minimised.
        hashes: Hash of each row, shape (n,).
        plan: What is estimated, and what is kept.
        unit: Unit in which labels are fitted.
        previous: Previous model, None when the model starts afresh.
    """

    terms: Terms
    columns: Columns
    label: Array
    weight: Array
    loss: Loss
    hashes: row_hashes.Hashes
    plan: EstimationPlan
    unit: LabelUnit
    previous: PreviousModel | None

    @classmethod
    def of(
        cls,
        spec: MixedSpec,
        terms: Terms,
        data: tuple[Columns, Array, Array],
        loss: Loss,
        previous: PreviousModel | None,
    ) -> FitProblem:
        """Plan the fit.

        Args:
            spec: The component.
            terms: Terms whose encodings have been learned.
            data: Columns, labels and weights.
            loss: Loss that is minimised.
            previous: Previous model, or None.
        """
        columns, label, weight = data
        hashes = hash_rows(terms, columns, label, weight)
        if previous is None:
            plan = EstimationPlan.without_previous(terms, len(label))
        else:
            plan = make_plan(spec, terms, previous, columns, hashes)
        # What is given comes off a number in float64: single precision holds what is left, not two large numbers.
        given = terms.offset(columns) + plan.offset if loss == "linear" else 0.0
        unit = LabelUnit.of(label - given, weight, loss, centred=not plan.fixed_locked)
        return cls(terms, columns, label, weight, loss, hashes, plan, unit, previous)

    def design(self, seed: int) -> Design:
        """Lay out the rows from which something is estimated. What is kept is part of their offset.

        Args:
            seed: Seed of the initial factors.
        """
        terms, plan, unit, columns = self.terms, self.plan, self.unit, self.columns
        use = self._used_rows()
        if plan.variances_locked:
            columns = {name: values[use] for name, values in columns.items()}
        numbers, categories = terms.fixed(columns), terms.category_codes(columns)
        label, offset = self.label[use], terms.offset(columns) + plan.offset[use]
        if self.loss == "linear":
            label, offset = label - offset, np.zeros(len(label))
        observations = Observations(
            unit.remove(label),
            offset / unit.deviation,
            self.weight[use],
            plan.variance[use] / unit.deviation**2,
        )
        codes = [
            among_active(one, levels, active)
            for (one, levels), active in zip(terms.effect_codes(columns), plan.active, strict=True)
        ]
        return lay_out(
            observations,
            DesignTerms(
                numbers[:, :0] if plan.fixed_locked else numbers,
                [] if plan.fixed_locked else [CategoryTerm(one, max(levels, 1)) for one, levels in categories],
                [
                    RandomEffectTerm(one, terms.slopes(columns, effect).astype(np.float32), levels)
                    for effect, (one, levels) in zip(terms.effects, codes, strict=True)
                ],
                list(self._factors(columns, seed)),
            ),
        )

    def _factors(self, columns: Columns, seed: int) -> Iterator[FactorsTerm]:
        """Encode the interactions that are estimated."""
        codes = self.terms.factor_codes(columns)
        for one, locked, (places, levels) in zip(self.terms.factors, self.plan.factors_locked, codes, strict=True):
            if not locked:
                yield FactorsTerm(places, levels, one.rank, seed)

    def _used_rows(self) -> slice | npt.NDArray[np.bool_]:
        """Select the rows of entities that are estimated; all rows unless the variances are kept."""
        if not self.plan.variances_locked:
            return slice(None)
        used = [
            among_active(codes, levels, active)[0] >= 0
            for (codes, levels), active in zip(self.terms.effect_codes(self.columns), self.plan.active, strict=True)
        ]
        return np.asarray(np.any(used, axis=0))

    def covariances(self) -> list[Covariance]:
        """Return the covariance of each random effect: its initial value, or itself where it is not estimated."""
        plan, square = self.plan, self.unit.deviation**2
        found = []
        for one, active, known in zip(self.terms.effects, plan.active, plan.effects, strict=True):
            locked = plan.variances_locked or (active is not None and not len(active))
            if known is not None and (locked or one.variance is None):
                found.append(Covariance(known.population / square, not locked, one.covariance == "diagonal"))
            else:
                found.append(first_covariance(one, self.unit.deviation))
        return found

    def initial_coefficients(self) -> InitialCoefficients | None:
        """Return the coefficients of the previous model, zero for new ones; None without a previous model."""
        if self.previous is None:
            return None
        deviation, locked = self.unit.deviation, self.plan.fixed_locked
        return InitialCoefficients(
            np.zeros(0) if locked else self._initial_fixed(self.previous),
            [] if locked else [one / deviation for one in self._initial_categories(self.previous)],
            [one / deviation for one in self._initial_effects()],
            [one / math.sqrt(deviation) for one in self._initial_factors(self.previous)],
            self.previous.fitted.dispersion / deviation**2,
        )

    def _initial_fixed(self, previous: PreviousModel) -> Array:
        known = dict(zip(previous.terms.fixed_keys, previous.fitted.fixed.numbers, strict=True))
        fixed = np.array([known.get(name, 0.0) for name in self.terms.fixed_keys])
        fixed[0] -= self.unit.mean
        return fixed / self.unit.deviation

    def _initial_categories(self, previous: PreviousModel) -> Iterator[Array]:
        positions = {name: position for position, name in enumerate(previous.terms.categories)}
        for name, levels in zip(self.terms.categories, self.terms.category_levels, strict=True):
            values = np.zeros(max(len(levels), 1))
            if name in positions and len(levels):
                places = previous.terms.category_levels[positions[name]].places(levels.keys)
                values = rows_of_level(previous.fitted.fixed.categories[positions[name]], places)
            yield values

    def _initial_effects(self) -> Iterator[Array]:
        terms, plan = self.terms, self.plan
        for one, levels, active, known in zip(
            terms.effects, terms.effect_levels, plan.active, plan.effects, strict=True
        ):
            rows = len(levels) if active is None else len(active)
            if known is None or not rows:
                yield np.zeros((max(rows, 1), len(one.features)))
            else:
                yield known.means if active is None else known.means[active]

    def _initial_factors(self, previous: PreviousModel) -> Iterator[Array]:
        for k, one in enumerate(self.terms.factors):
            if not self.plan.factors_locked[k]:
                found = previous.factors_for(self.terms, k)
                places = sum(max(len(levels), 1) + 1 for levels in self.terms.factor_levels[k])
                yield np.full((places, one.rank), np.nan) if found is None else found


def hash_rows(terms: Terms, columns: Columns, label: Array, weight: Array) -> row_hashes.Hashes:
    """Hash each row: its label, weight, entities, and what their coefficients multiply; shape (n,)."""
    codes = [one for one, _ in terms.effect_codes(columns)]
    names = [row_hashes.of_keys(levels.keys) for levels in terms.effect_levels]
    slopes = [terms.slopes(columns, one) for one in terms.effects]
    rest = label - label.astype(np.float32)  # of a label that float32 rounds
    return row_hashes.of_rows([label, rest, weight, *slopes], list(zip(codes, names, strict=True)))


def among_active(codes: Array, levels: int, active: Array | None) -> tuple[npt.NDArray[np.int32], int]:
    """Renumber levels among those that are estimated.

    >>> among_active(np.array([0, 2, -1, 1], np.int32), 3, np.array([1, 2]))[0].tolist()
    [-1, 1, -1, 0]

    Args:
        codes: Level of each row, -1 for none, shape (n,).
        levels: Number of levels.
        active: Levels that are estimated; None for all.

    Returns:
        New codes, -1 for other levels, and the number of levels, at least 1.
    """
    if active is None:
        return codes, max(levels, 1)
    numbers = np.full(levels + 1, -1, np.int32)  # the last one is for -1
    numbers[active] = np.arange(len(active))
    return numbers[codes], max(len(active), 1)
