"""Terms of a mixed model, and their encodings: how columns become standardised numbers and numbered entities."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.models.mixed.effect_spec import INTERCEPT, RandomEffectSpec
from proml_kedro.models.mixed.encoding import Levels, Names, Scale, combine
from proml_kedro.models.mixed.fitted import map_array
from proml_kedro.models.mixed.rows import has_exposure
from proml_kedro.models.mixed.spec import MixedSpec


class Terms:
    """Terms of the model, each with the encoding that is learned from training data.

    Attributes:
        inputs: Names of all inputs.
        numbers: Numeric inputs with fixed effects.
        categories: Categorical inputs with fixed effects.
        effects: Random effects with coefficients.
        effect_levels: Entities of each random effect.
        factors: Interactions of low rank.
        factor_levels: Entities in each field of each interaction.

    Args:
        spec: The component.
        inputs: Inputs of the component.

    Raises:
        UserError: A term names no input, or one of the wrong dtype; keys are relative to the component.
    """

    def __init__(self, spec: MixedSpec, inputs: Sequence[Input]) -> None:
        categorical = {one.name: one.is_categorical for one in inputs}
        mistakes = list(spec.check_inputs({one.name: one.dtype for one in inputs}))
        if mistakes:
            raise UserError(*mistakes)
        fixed = spec.fixed_inputs(categorical)
        self.inputs = [one.name for one in inputs]
        self._offset, self._exposure = spec.offset, spec.exposure
        self.numbers = [name for name in fixed if not categorical[name]]
        self.categories = [name for name in fixed if categorical[name]]
        self.effects = spec.coefficients
        self.factors = spec.factors
        self._scales: dict[str, Scale] = {}
        self._category_levels: list[Levels] = []
        self.effect_levels: list[Levels] = []
        self.factor_levels: list[list[Levels]] = []
        self._remembered_of: Columns | None = None
        self._remembered_names: dict[tuple[str, ...], Names] = {}
        self._remembered_codes: dict[tuple[str, ...], npt.NDArray[np.int32]] = {}

    def learn(self, columns: Columns, weight: Array, earlier: Terms | None = None) -> list[str]:
        """Learn scales and levels from training rows, and return the names of the numbers that are constant.

        Args:
            columns: The inputs.
            weight: Shape (n,), positive.
            earlier: Terms of a previous model. Their scales are kept, so that coefficients keep their meaning.
        """
        names = dict.fromkeys([*self.numbers, *(name for one in self.effects for name in _slopes_of(one))])
        known = earlier._scales if earlier else {}
        own = {name: Scale.of(columns[name], weight) for name in names}
        self._scales = {name: replace(known.get(name, one), constant=one.constant) for name, one in own.items()}
        self._category_levels = [Levels.of(self._names(columns, [name])) for name in self.categories]
        self.effect_levels = [self.entities(columns, one) for one in self.effects]
        self.factor_levels = [
            [Levels.of(self._names(columns, [name]), one.min_rows) for name in one.entity] for one in self.factors
        ]
        return [name for name, scale in self._scales.items() if scale.constant]

    def hold(self, spec: MixedSpec, earlier: Terms) -> None:
        """Take over the levels of locked terms; an update of changed entities keeps the old levels beside the new."""
        if spec.locks_fixed:
            self._category_levels = earlier._category_levels
        old = {_name(one): levels for one, levels in zip(earlier.effects, earlier.effect_levels, strict=True)}
        for k, one in enumerate(self.effects):
            if one.title in spec.locked:
                self.effect_levels[k] = old[_name(one)]
            elif spec.update != "all":
                self.effect_levels[k] = self.effect_levels[k].union(old[_name(one)])
        fields = {(f.title, f.rank): levels for f, levels in zip(earlier.factors, earlier.factor_levels, strict=True)}
        for k, factors in enumerate(self.factors):
            if spec.update != "all" or factors.title in spec.locked:
                self.factor_levels[k] = fields[factors.title, factors.rank]

    @property
    def fixed_inputs(self) -> tuple[list[str], list[str]]:
        """Inputs of the fixed effects: numbers, and categories."""
        return self.numbers, self.categories

    @property
    def category_levels(self) -> list[Levels]:
        """Levels of each categorical fixed effect."""
        return self._category_levels

    def take_over(self, scales: dict[str, Scale], entities: Levels) -> None:
        """Set what :meth:`learn` would learn, for one random effect and no categorical fixed effects."""
        self._scales, self._category_levels, self.effect_levels = scales, [], [entities]

    @property
    def scales(self) -> dict[str, Scale]:
        """Standardisation of each number, by name."""
        return self._scales

    @property
    def has_exposure(self) -> bool:
        """Whether counts are of exposures of different length."""
        return self._exposure is not None

    @property
    def offset_names(self) -> list[str]:
        """Inputs that :meth:`offset` reads."""
        return [name for name in (self._offset, self._exposure) if name is not None]

    def offset(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Add the offset and the logarithm of the exposure, each 0 where it is missing; shape (n,)."""
        total = np.zeros(row_count(columns))
        if self._offset is not None:
            values = columns[self._offset].astype(np.float64)
            total += np.where(np.isfinite(values), values, 0.0)
        if self._exposure is not None:
            known = has_exposure(columns, self._exposure)
            total[known] += np.log(columns[self._exposure][known].astype(np.float64))
        return total

    @property
    def fixed_names(self) -> list[str]:
        """Numeric input of each column of :meth:`fixed` after the intercept."""
        return [*self.numbers, *(name for name in self.numbers if self._scales[name].missing)]

    @property
    def fixed_keys(self) -> list[str]:
        """Name of each column of :meth:`fixed`."""
        lacking = (f"missing {name}" for name in self.numbers if self._scales[name].missing)
        return [INTERCEPT, *self.numbers, *lacking]

    def deviation(self, name: str) -> float | None:
        """Return the standard deviation by which a number is divided, None for anything else."""
        return self._scales[name].deviation if name in self._scales else None

    def fixed(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Make the columns of the fixed numbers: ones, standardised numbers, and indicators of missing ones.

        The shape is (n, 1 + len(fixed_names)).
        """
        ones = np.ones(row_count(columns))
        numbers = [self._scales[name].apply(columns[name]) for name in self.numbers]
        lacking = [~np.isfinite(columns[name]) for name in self.numbers if self._scales[name].missing]
        return np.column_stack([ones, *numbers, *lacking])

    def category_codes(self, columns: Columns) -> Iterator[tuple[npt.NDArray[np.int32], int]]:
        """Encode each categorical fixed effect: the level of each row, -1 for none, and the number of levels."""
        for name, levels in zip(self.categories, self._category_levels, strict=True):
            yield self._encode(columns, levels, [name]), len(levels)

    def effect_codes(self, columns: Columns) -> Iterator[tuple[npt.NDArray[np.int32], int]]:
        """Encode each random effect: the entity of each row, -1 for none, and the number of entities."""
        for one, levels in zip(self.effects, self.effect_levels, strict=True):
            yield self._encode(columns, levels, one.entity), len(levels)

    @contextmanager
    def remembering(self, columns: Columns) -> Iterator[None]:
        """Look up the names in these columns once while the block runs."""
        self._remembered_of = columns
        try:
            yield
        finally:
            self._remembered_of, self._remembered_names, self._remembered_codes = None, {}, {}

    def _names(self, columns: Columns, inputs: Sequence[str]) -> Names:
        if columns is not self._remembered_of:
            return combine([Names.of(columns[name]) for name in inputs])
        key = tuple(inputs)
        if key not in self._remembered_names:
            if len(inputs) == 1:
                found = Names.of(columns[inputs[0]])
            else:
                found = combine([self._names(columns, [name]) for name in inputs])
            self._remembered_names[key] = found
        return self._remembered_names[key]

    def _encode(self, columns: Columns, levels: Levels, inputs: Sequence[str]) -> npt.NDArray[np.int32]:
        if columns is not self._remembered_of:
            return levels.encode(self._names(columns, inputs))
        key = (str(id(levels)), *inputs)  # levels that are looked up outlive the block: no id comes twice
        if key not in self._remembered_codes:
            self._remembered_codes[key] = levels.encode(self._names(columns, inputs))
        return self._remembered_codes[key]

    def factor_codes(self, columns: Columns) -> Iterator[tuple[list[npt.NDArray[np.int32]], list[int]]]:
        """Encode each interaction: the level of each row in each field, -1 for none, and the numbers of levels."""
        for one, fields in zip(self.factors, self.factor_levels, strict=True):
            codes = [self._encode(columns, levels, [name]) for name, levels in zip(one.entity, fields, strict=True)]
            yield codes, [max(len(levels), 1) for levels in fields]

    def slopes(self, columns: Columns, effect: RandomEffectSpec) -> npt.NDArray[np.float64]:
        """Make the slopes, which the coefficients of an entity multiply; shape (n, features).

        Numbers are standardised, which beside an intercept of the entity changes no model. Without one they are not
        centred: the effect is nothing where they are 0.
        """
        centred = INTERCEPT in effect.features
        return np.column_stack([self._slope(columns, name, centred) for name in effect.features])

    def _slope(self, columns: Columns, name: str, centred: bool) -> npt.NDArray[np.float64]:
        if name == INTERCEPT:
            return np.ones(row_count(columns))
        scale = self._scales[name]
        return scale.apply(columns[name]) if centred else scale.apply_uncentred(columns[name])

    def unit(self, effect: RandomEffectSpec, feature: str) -> float | None:
        """Return the size of a feature for which coefficients of an effect are, None for an intercept."""
        if feature == INTERCEPT:
            return None
        scale = self._scales[feature]
        return scale.deviation if INTERCEPT in effect.features else scale.size

    def entities(self, columns: Columns, effect: RandomEffectSpec) -> Levels:
        """Collect the entities of these rows, by the rows that an effect asks for."""
        return Levels.of(self._names(columns, effect.entity), effect.min_rows)

    def number(self, columns: Columns, effect: RandomEffectSpec) -> npt.NDArray[np.int32]:
        """Number the entities of these rows alone, before levels are learned; int32 of shape (n,), -1 for none."""
        return self._names(columns, effect.entity).codes

    def save(self, folder: Path) -> None:
        """Write ``scales.json``, and the sorted names of the levels of each term."""
        scales = {name: asdict(scale) for name, scale in self._scales.items()}
        (folder / "scales.json").write_text(json.dumps(scales))
        for kind, known in (("category", self._category_levels), ("effect", self.effect_levels)):
            for position, levels in enumerate(known):
                np.save(folder / f"{kind}_{position}.levels.npy", levels.keys, allow_pickle=False)
        for position, fields in enumerate(self.factor_levels):
            for place, levels in enumerate(fields):
                np.save(folder / f"factors_{position}.{place}.levels.npy", levels.keys, allow_pickle=False)

    def load(self, folder: Path) -> None:
        """Load what :meth:`save` wrote. Levels stay on disk until they are looked up."""
        scales = json.loads((folder / "scales.json").read_text())
        self._scales = {name: Scale(**one) for name, one in scales.items()}
        self._category_levels = [_read(folder, f"category_{k}") for k in range(len(self.categories))]
        self.effect_levels = [_read(folder, f"effect_{k}") for k in range(len(self.effects))]
        self.factor_levels = [
            [_read(folder, f"factors_{k}.{field}") for field in range(len(one.entity))]
            for k, one in enumerate(self.factors)
        ]


def _name(effect: RandomEffectSpec) -> tuple[str, ...]:
    return effect.title, *effect.features


def _read(folder: Path, name: str) -> Levels:
    return Levels(map_array(folder / f"{name}.levels.npy"))


def _slopes_of(effect: RandomEffectSpec) -> list[str]:
    return [name for name in effect.features if name != INTERCEPT]
