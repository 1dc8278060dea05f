"""Each construct on each engine: the same values as by DuckDB's own queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from both import HERE, Results, all_differences, engine, read, run, with_sizes
from constructs import AGGREGATES, COLUMNS
from random_events import Case, make_case

pytestmark = pytest.mark.slow

TABLES = 9
PART = 6
"""Aggregates of a view."""

NAMES = list(AGGREGATES)
PARTS = [NAMES[first : first + PART] for first in range(0, len(NAMES), PART)]


@dataclass(frozen=True)
class Reference:
    case: Case
    tables: Path
    wanted: Results
    folder: Path


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> list[Reference]:
    """What DuckDB's own queries give, a few aggregates at a time."""
    made = []
    for seed, names in enumerate(PARTS):
        folder = tmp_path_factory.mktemp("constructs")
        case = make_case(seed, TABLES, names)
        tables = read(case, folder)
        made.append(
            Reference(case, tables, run(case, with_sizes(case.features), tables, HERE, folder / "wanted"), folder)
        )
    return made


@pytest.fixture(scope="module")
def found(name_of_engine: str, references: list[Reference]) -> Iterator[list[Results]]:
    with engine(name_of_engine) as hardware:
        yield [
            run(one.case, one.case.features, one.tables, hardware, one.folder / name_of_engine) for one in references
        ]


def _all(references: list[Reference], found: list[Results]) -> list[str]:
    pairs = zip(found, references, strict=True)
    return [line for one, other in pairs for lines in all_differences(one, other.wanted).values() for line in lines]


@pytest.mark.parametrize("construct", NAMES)
def test_aggregates_are_the_same(construct: str, references: list[Reference], found: list[Results]) -> None:
    field = f"f{NAMES.index(construct)}"
    part = next(place for place, names in enumerate(PARTS) if construct in names)
    assert any(name.startswith(f"{field}_") for name in found[part].views["by_id"].column_names)
    wrong = [line for line in _all(references, found) if f"{field}_" in line]
    assert not wrong


@pytest.mark.parametrize("construct", [*COLUMNS, "vector"])
def test_columns_are_the_same(construct: str, references: list[Reference], found: list[Results]) -> None:
    field = "v" if construct == "vector" else f"c{list(COLUMNS).index(construct)}"
    assert field in found[0].views["columns"].column_names
    wrong = [line for line in _all(references, found) if line.startswith((f"{field}, ", f"columns.{field}, "))]
    assert not wrong


def test_keys_moments_and_rows_are_the_same(references: list[Reference], found: list[Results]) -> None:
    assert not _all(references, found)
    for one in found:
        assert min(table.num_rows for table in one.views.values()) > 30
        assert one.training_set.num_rows > 100
