"""A table to score is read by the format of dates that training has found, however the column was declared there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import one_table
from proml_kedro.bundle.how_read import how_read
from proml_kedro.results import TablesFacts
from proml_kedro.spec.features import FeaturesSpec


@pytest.mark.parametrize(
    ("table", "cell", "format_"),
    [
        ({}, "31/01/2024", "%d/%m/%Y"),
        ({"types": {"at": "TIMESTAMPTZ"}}, "31/01/2024", "%d/%m/%Y"),
        ({"types": {"at": "DATE"}}, "01/31/2024", "%m/%d/%Y"),
        ({"date_format": {"at": "%d/%m/%Y"}}, "01/02/2024", "%d/%m/%Y"),
        ({}, "2024-01-31", None),
        ({"types": {"at": "VARCHAR"}}, "31/01/2024", None),
    ],
)
def test_the_format_is_noted(tmp_path: Path, table: dict[str, Any], cell: str, format_: str | None) -> None:
    (tmp_path / "t.csv").write_text(f"id,at\n1,{cell}\n2,{cell}\n")
    problem = one_table.problem_of(source="t.csv", **table)
    problem = problem.model_copy(update={"examples": problem.examples.model_copy(update={"table": "t"})})
    one_table.read(tmp_path, one_table.problem_of(source="t.csv", **table))
    features = FeaturesSpec.model_validate(
        {"r": {"source": "request", "features": {"day": {"dtype": "str", "expression": "at::text"}}}}
    )
    config = {"problem": problem.model_dump(mode="json"), "features": features.model_dump(mode="json")}
    said = how_read(config, TablesFacts.read(tmp_path / "out"))
    assert said["date_format"] == ({"at": format_} if format_ else {})
    assert set(said["read_as"]) == {"id", "at"}
