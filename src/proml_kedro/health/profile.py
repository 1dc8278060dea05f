"""What is remembered of the reference: a few numbers for each column, no rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from proml_kedro.health.column_profile import CategoricalProfile, ColumnProfile, NumericProfile, Sample
from proml_kedro.health.schema_check import as_numbers, as_texts, schema_problem
from proml_kedro.models.component import Array, Columns, Input


class ReferenceProfile(BaseModel):
    """The reference, column by column; reads and writes itself as JSON.

    Attributes:
        rows: Number of rows.
        columns: Profiles by name of the column.
        unusable: Columns that could not be profiled, with the reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    columns: dict[str, Annotated[ColumnProfile, Field(discriminator="kind")]]
    unusable: dict[str, str] = {}


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
            profiles[one.name] = NumericProfile.of(as_numbers(columns[one.name]))
    rows = len(next(iter(columns.values()))) if columns else 0
    return ReferenceProfile(rows=rows, columns=profiles, unusable=unusable)


def count(profile: ColumnProfile, values: Array) -> Sample:
    """Count values of a column that has no :func:`schema_problem` by the bins of its profile."""
    if isinstance(profile, NumericProfile):
        return profile.count(as_numbers(values))
    return profile.count(as_texts(values))


def missing(profile: ColumnProfile) -> Sample:
    """Count a column that has no values, by the bins of its profile."""
    return count(profile, np.zeros(0) if isinstance(profile, NumericProfile) else np.zeros(0, object))
