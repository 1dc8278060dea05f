"""Where the values of a feature lie, and what sort they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.marketplace.entry import Entry
from proml_kedro.results import Places
from proml_kedro.results.names import examples_file
from proml_kedro.workspace.snapshot import feature_table

_NUMBER = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT|FLOAT|DOUBLE|DECIMAL.*")
_WHOLE = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT")
_VECTOR = re.compile(r"(FLOAT|DOUBLE)\[\d*\]")


@dataclass(frozen=True)
class FeatureColumn:
    """Column of a file with a feature's values.

    Attributes:
        file: A Parquet file. Results never change, so what is found in one stays true.
        name: Of the column in it.
        place: File and column in words.
    """

    file: Path
    name: str
    place: str


def find_column(entry: Entry, places: Places) -> FeatureColumn | None:
    """Find the values of a feature: in a training set if any has it, otherwise in its view's feature table.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not what it should be.
    """
    import pyarrow.parquet as pq

    sets = {model: examples_file(folder) for (_, model), folder in places.find("training_set", entry.problem).items()}
    there = {model: file for model, file in sets.items() if file.is_file()}
    for model, file in sorted(there.items(), key=lambda one: _modified(one[1]), reverse=True):
        if entry.name in pq.read_schema(file).names:
            return FeatureColumn(file.resolve(), entry.name, f"training set of {model}")
    table, name = feature_table(places, entry), entry.ref.feature
    if table.is_file() and name in pq.read_schema(table).names:
        return FeatureColumn(table.resolve(), name, f"feature table {entry.view}")
    return None


def _modified(file: Path) -> float:
    return file.stat().st_mtime


def is_number(type_: str) -> bool:
    """Return whether an SQL type is drawn as numbers."""
    return bool(_NUMBER.fullmatch(type_))


def is_whole(type_: str) -> bool:
    """Return whether an SQL type holds whole numbers only."""
    return bool(_WHOLE.fullmatch(type_))


def is_vector(type_: str) -> bool:
    """Return whether an SQL type is drawn as lengths of vectors."""
    return bool(_VECTOR.fullmatch(type_))
