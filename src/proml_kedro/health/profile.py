"""What is remembered of the reference: a few numbers for each column, no rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from proml_kedro.health.categorical_profile import CategoricalProfile
from proml_kedro.health.numeric_profile import NumericProfile
from proml_kedro.health.sample import Sample
from proml_kedro.health.schema_check import as_numbers, as_texts, schema_problem
from proml_kedro.health.score_profile import Places, ScoreProfile
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.spec.training_set import LABEL, SCORE

ColumnProfile = NumericProfile | CategoricalProfile


class ReferenceProfile(BaseModel):
    """The reference, column by column; reads and writes itself as JSON.

    Attributes:
        rows: Number of rows.
        columns: Profiles by name of the column.
        unusable: Columns that could not be profiled, with the reason.
        score: How the model's score goes with the columns and with the label; None where it is no number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    columns: dict[str, Annotated[ColumnProfile, Field(discriminator="kind")]]
    unusable: dict[str, str] = {}
    score: ScoreProfile | None = None

    def places(self, columns: Columns, names: Collection[str] | None = None) -> Places:
        """Number the bin of each row in columns that are there and have their types, those of scores left out.

        Args:
            columns: The values.
            names: Which columns; all when None.
        """
        return {
            name: (one.bins, bins_of(one, columns[name]))
            for name, one in self.columns.items()
            if (names is None or name in names)
            and not is_score(name)
            and not one.is_id_like
            and schema_problem(columns, _input(name, one)) is None
        }


def is_score(name: str) -> bool:
    """Tell whether a watched column is what the model says: its score, or the probability of one class."""
    return name == SCORE or name.startswith(f"{SCORE} ")


def profile(columns: Columns, inputs: Sequence[Input]) -> ReferenceProfile:
    """Profile a reference, column by column.

    Args:
        columns: The values, n rows each.
        inputs: Which columns to profile, and their types.
    """
    profiles: dict[str, ColumnProfile] = {}
    unusable: dict[str, str] = {}
    for one in inputs:
        wrong = schema_problem(columns, one)
        if wrong:
            unusable[one.name] = f"{wrong} in the reference"
        elif one.is_categorical:
            profiles[one.name] = CategoricalProfile.of(as_texts(columns[one.name]))
        else:
            values = columns[one.name]
            profiles[one.name] = NumericProfile.of(as_numbers(values), values.dtype == np.float32)
    rows = len(next(iter(columns.values()))) if columns else 0
    known = ReferenceProfile(rows=rows, columns=profiles, unusable=unusable)
    return known.model_copy(update={"score": _score(known, columns)}) if rows else known


def _score(known: ReferenceProfile, columns: Columns) -> ScoreProfile | None:
    if not isinstance(known.columns.get(SCORE), NumericProfile):
        return None
    return ScoreProfile.of(as_numbers(columns[SCORE]), known.places(columns), label_of(columns))


def label_of(columns: Mapping[str, Array]) -> Array | None:
    """Return the label as numbers, NaN where it is not known yet; None without one."""
    if schema_problem(columns, Input(LABEL, "float")) is not None:
        return None
    return as_numbers(columns[LABEL])


def count(profile: ColumnProfile, values: Array) -> Sample:
    """Count values of a column that has no :func:`schema_problem` by the bins of its profile."""
    if isinstance(profile, NumericProfile):
        return profile.sample_of(as_numbers(values))
    return profile.sample_of(as_texts(values))


def bins_of(profile: ColumnProfile, values: Array) -> Array:
    """Number the bin of each value of a column that has no :func:`schema_problem`."""
    if isinstance(profile, NumericProfile):
        return profile.bins_of(as_numbers(values))
    return profile.bins_of(as_texts(values))


def missing(profile: ColumnProfile) -> Sample:
    """Count a column that has no values, by the bins of its profile."""
    return count(profile, np.zeros(0) if isinstance(profile, NumericProfile) else np.zeros(0, object))


def _input(name: str, one: ColumnProfile) -> Input:
    return Input(name, "float" if isinstance(one, NumericProfile) else "str")
