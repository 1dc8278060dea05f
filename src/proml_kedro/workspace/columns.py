"""Where the values of a feature lie, and what sort they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.marketplace.entry import Entry
from proml_kedro.spec.training_set import FILE
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


def find_column(entry: Entry, data_dir: Path) -> FeatureColumn | None:
    """Find the values of a feature: in a training set if any has it, otherwise in its view's feature table.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not what it should be.
    """
    import pyarrow.parquet as pq

    sets = sorted(data_dir.glob(f"{entry.problem}/*/training_set/{FILE}"), key=_modified, reverse=True)
    for file in sets:
        if entry.name in pq.read_schema(file).names:
            return FeatureColumn(file.resolve(), entry.name, f"training set of {file.parents[1].name}")
    table, name = feature_table(data_dir, entry), entry.ref.feature
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
