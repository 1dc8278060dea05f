"""A table to score is read by the format of dates that training has found, however the column was declared there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import one_table
from proml_kedro.bundle.how_read import how_read
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.readers.csv import CsvReader
from proml_kedro.results import TablesFacts
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec


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


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("who;when;size;size;bought", ["who", "when", "size", "size_2", "bought"]),  # as training's file
        ("Kunde;Zeit;m;cm;ja", ["who", "when", "size", "size_2", "bought"]),  # names that names took the place of
        ("who;when;size;size_2", ["who", "when", "size", "size_2"]),  # the label is not known yet
        ("when;who;size;size_2;bought", ["when", "who", "size", "size_2", "bought"]),  # another order
        ("who;size;batch;when;bought", ["who", "size", "batch", "when", "bought"]),
        ("when;who;size;size;bought", None),  # another order, and a name that does not say which column it is
        ("size;size", None),
    ],
)
def test_names_stand_for_the_columns_of_training_s_file_alone(
    tmp_path: Path, header: str, read: list[str] | None
) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n{';'.join('12345'[: header.count(';') + 1])}\n")
    names = ["who", "when", "size", "size_2", "bought"]
    reader = CsvReader(source="t.csv", delimiter=";", names=names)
    if read is None:
        with pytest.raises(UserError, match=r"names of these: who, when, size, size_2, bought"):
            reader.for_other_columns([tmp_path / "t.csv"])
        return
    with connect(HardwareSpec()) as session:
        rows = reader.for_other_columns([tmp_path / "t.csv"]).relation([tmp_path / "t.csv"], session)
        assert list(rows.schema) == read
