"""Evidently's drift report, for looking closer. The only module that imports Evidently."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Columns, Input


def write_report(
    file: Path, reference: Columns, current: Columns, inputs: Sequence[Input], most_rows: int, seed: int
) -> None:
    """Write an HTML page that needs nothing from the network.

    Args:
        file: Where to.
        reference: The inputs' columns, n rows.
        current: The same columns, m rows.
        inputs: Which columns. Those without a value on one side are omitted: Evidently fails on them.
        most_rows: Larger sides are sampled down to so many rows.
        seed: Of the sample.
    """
    sampled = [_sample(side, most_rows, seed) for side in (current, reference)]
    shown = [one for one in inputs if all(_has_values(one, side) for side in sampled)]
    if not shown:  # Evidently divides by their number
        file.write_text("<!doctype html><title>Drift</title><p>No column has values on both sides.</p>\n")
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        _write(file, [_frame(side, shown) for side in sampled], shown)


def _write(file: Path, sides: Sequence[Any], inputs: Sequence[Input]) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[one.name for one in inputs if not one.is_categorical],
        categorical_columns=[one.name for one in inputs if one.is_categorical],
    )
    current, reference = (Dataset.from_pandas(side, data_definition=definition) for side in sides)
    Report([DataDriftPreset()]).run(current, reference).save_html(str(file))


def _has_values(one: Input, columns: Columns) -> bool:
    values = columns.get(one.name)
    if values is None or (values.dtype == object) != one.is_categorical:
        return False
    if one.is_categorical:
        return any(isinstance(value, str) for value in values)
    return bool(np.isfinite(values).any())


def _sample(columns: Columns, most_rows: int, seed: int) -> Columns:
    rows = row_count(columns)
    if rows <= most_rows:
        return columns
    chosen = np.sort(np.random.default_rng(seed).choice(rows, most_rows, replace=False))
    return {name: values[chosen] for name, values in columns.items()}


def _frame(columns: Columns, inputs: Sequence[Input]) -> Any:
    import pandas as pd

    return pd.DataFrame(
        {
            one.name: [_harmless(value) for value in columns[one.name]]
            if one.is_categorical
            else np.where(np.isfinite(columns[one.name]), columns[one.name], np.nan)
            for one in inputs
        }
    )


def _harmless(value: Any) -> str | None:
    """Remove tags from a category: Evidently writes it into a script of the page as it is."""
    return value.replace("<", "‹") if isinstance(value, str) else None
