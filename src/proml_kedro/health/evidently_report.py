"""Evidently's drift report, for looking closer. The only module that imports Evidently."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Columns, Input
from proml_kedro.results import ColumnDrift, DriftResult


def write_report(
    file: Path,
    result: DriftResult,
    reference: Columns,
    current: Columns,
    inputs: Sequence[Input],
    most_rows: int,
    seed: int,
) -> None:
    """Write an HTML page that needs nothing from the network.

    Evidently draws the columns; what is drift it is told by the verdict.

    Args:
        file: Where to.
        result: The verdict on these columns.
        reference: The inputs' columns, n rows.
        current: The same columns, m rows.
        inputs: Which columns. Vectors, and those without a value on one side, are omitted: Evidently fails on them.
        most_rows: Larger sides are sampled down to so many rows.
        seed: Of the sample.
    """
    sampled = [_sample(side, most_rows, seed) for side in (current, reference)]
    shown = [one for one in inputs if all(_has_values(one, side) for side in sampled)]
    if not shown:  # Evidently divides by their number
        nothing = f"<p>No column has values on both sides.</p>{_heading(result, [])}\n"
        file.write_text(f"<!doctype html><meta charset='utf-8'><title>Drift</title>{nothing}", encoding="utf-8")
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        _write(file, [_frame(side, shown) for side in sampled], shown, result)


def _write(file: Path, sides: Sequence[Any], inputs: Sequence[Input], result: DriftResult) -> None:
    from evidently import DataDefinition, Dataset, Report

    definition = DataDefinition(
        numerical_columns=[one.name for one in inputs if not one.is_categorical],
        categorical_columns=[one.name for one in inputs if one.is_categorical],
    )
    current, reference = (Dataset.from_pandas(side, data_definition=definition) for side in sides)
    findings = {one.name: one for one in result.columns}
    Report([_preset([one.name for one in inputs], findings)]).run(current, reference).save_html(str(file))
    page = file.read_text(encoding="utf-8")
    body, tag, rest = page.partition("<body>")
    file.write_text(f"{body}{tag}{_heading(result, [one.name for one in inputs])}{rest}", encoding="utf-8")


def _heading(result: DriftResult, shown: Sequence[str]) -> str:
    """Say the verdict above the drawings, and which columns cannot be drawn."""
    missing = [one for one in result.columns if one.name not in shown]
    left_out = "".join(f"<li>{escape(one.name)}: {escape(one.words)}</li>" for one in missing)
    return (
        f"<div style='font-family: sans-serif; padding: 1em 2em'><h1>Drift: {escape(result.words)}</h1>"
        f"{f'<p>Without values to draw:</p><ul>{left_out}</ul>' if left_out else ''}</div>"
    )


def _preset(names: Sequence[str], findings: Mapping[str, ColumnDrift]) -> Any:
    """Make Evidently's table of columns, with our verdict as the statistical test of each."""
    from evidently.presets import DataDriftPreset

    class Table(DataDriftPreset):  # type: ignore[misc]
        def render(self, *args: Any, **options: Any) -> Any:
            """Leave out the count of columns, which would be a second verdict."""
            widgets = super().render(*args, **options)
            for one in widgets:
                one.title = "Columns"
            return widgets[-1:]

    return Table(per_column_method={name: _test(name, findings.get(name)) for name in names})


def _test(name: str, finding: ColumnDrift | None) -> Any:
    """Make a statistical test that answers what was found already."""
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    share = finding.cause.share if finding and finding.cause else None
    words = finding.words if finding else "not checked"
    kinds = [ColumnType.Numerical, ColumnType.Categorical, ColumnType.Text]
    test = StatTest(f"verdict on {name}", words, kinds, 1.0)
    is_found = finding is not None and finding.verdict != "ok"
    register_stattest(test, lambda *_: (share if share is not None else float(is_found), is_found))
    return test


def _has_values(one: Input, columns: Columns) -> bool:
    values = columns.get(one.name)
    if values is None or one.size is not None or (values.dtype == object) != one.is_categorical:
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
