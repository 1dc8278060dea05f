"""The same features and training sets by DuckDB's own queries and by the portable ones, and how equal they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from random_events import Case

from proml_kedro.engine.session import Session, connect
from proml_kedro.engine.spark.session import connect_engine
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.training import on_engine
from proml_kedro.features.training.join import PointInTimeJoin
from proml_kedro.features.training.on_engine import EngineHistory
from proml_kedro.features.training.point_in_time import AsofView, join_sql
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.features.views.compute import compute_views
from proml_kedro.features.views.portable import compute
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP, FILE

HERE = HardwareSpec(threads=1, memory="500MB")
PROMISED = 1e-12


class TextOnDuckDB:
    """DuckDB in the place of an engine: it runs the portable text."""

    name = "DuckDB"

    def __init__(self, session: Session) -> None:
        self._session = session

    def table(self, name: str, file: Path) -> None:
        self._session.run(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM {self._session.parquet(file)}")

    def batches(self, query: str) -> Iterator[pa.Table]:
        yield self._session.arrow(query)

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self._session.records(query)


@contextmanager
def _duckdb(hardware: HardwareSpec) -> Iterator[TextOnDuckDB]:
    with connect(hardware) as session:
        yield TextOnDuckDB(session)


@dataclass(frozen=True)
class Opened:
    """An engine whose session is opened once: what is proved is queries."""

    hardware: HardwareSpec
    session: Any

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have features and joins use the session."""

        @contextmanager
        def already(_: HardwareSpec) -> Iterator[Any]:
            yield self.session

        with (
            mock.patch.object(compute, "connect_engine", already),
            mock.patch.object(on_engine, "connect_engine", already),
        ):
            yield


@contextmanager
def opened(name: str) -> Iterator[Opened]:
    """Open an engine: ``duckdb``, ``sail``, or ``spark`` at ``SPARK_REMOTE``."""
    kind = "spark" if name == "spark" else "sail"
    hardware = HERE.model_validate({**HERE.model_dump(), "engine": {"kind": kind}})
    with (_duckdb if name == "duckdb" else connect_engine)(hardware) as session:
        yield Opened(hardware, session)


@contextmanager
def engine(name: str) -> Iterator[HardwareSpec]:
    """Open an engine and have features and joins use it."""
    with opened(name) as one, one.used():
        yield one.hardware


@dataclass(frozen=True)
class Results:
    """Feature tables by view, and the training set."""

    views: dict[str, pa.Table]
    training_set: pa.Table


def read(case: Case, folder: Path) -> Path:
    """Read the tables of a case; return the folder that they are in."""
    for name, table in case.tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    tables = folder / "tables"
    tables.mkdir()
    read_tables(case.problem, case.features, folder, HERE, tables)
    return tables


def run(case: Case, features: FeaturesSpec, tables: Path, hardware: HardwareSpec, folder: Path) -> Results:
    """Compute feature tables, and the training set that they give."""
    views, joined = folder / "views", folder / "joined"
    views.mkdir(parents=True)
    joined.mkdir()
    compute_views(case.problem, features, tables, hardware, views)
    history = EngineHistory(features, views, hardware) if hardware.engine else _Asof(features, views)
    build_training_set(case.problem, features, features.columns(), tables, history, hardware, joined)
    return Results(
        {name: pq.read_table(views / f"{name}.parquet") for name in features.views}, pq.read_table(joined / FILE)
    )


class _Asof:
    """The join by ASOF, without Feast, which takes seconds to import."""

    def __init__(self, features: FeaturesSpec, tables: Path) -> None:
        self._features, self._tables = features, tables

    def key_types(self, view: str) -> dict[str, str]:
        raise NotImplementedError

    def join(self, entities: Any, features: Sequence[FeatureRef]) -> PointInTimeJoin:
        names = dict.fromkeys(one.view for one in features)
        views = [self._view(name, [one for one in features if one.view == name]) for name in names]
        with connect(HERE) as session:
            columns = list(session.relation(f"({entities})").schema)
        return PointInTimeJoin(join_sql(f"({entities})", columns, EVENT_TIMESTAMP, views), HERE)

    def _view(self, name: str, refs: list[FeatureRef]) -> AsofView:
        view = self._features.views[name]
        return AsofView(
            str(self._tables / f"{name}.parquet"),
            {key: key for key in view.key},
            {one.column: one.feature for one in refs},
            EVENT_TIMESTAMP,
            CREATED_TIMESTAMP,
            view.source.ttl,  # type: ignore[union-attr]
        )


def with_sizes(features: FeaturesSpec) -> FeaturesSpec:
    """The features, and for each sum or mean the same of the sizes of its numbers: what its error is a share of."""
    content = features.model_dump(mode="json")
    for view in content.values():
        for name, one in list(view["features"].items()):
            if one.get("agg") in ("sum", "mean"):
                view["features"][f"size_{name}"] = {**one, "expression": f"abs({one['expression']})"}
    return FeaturesSpec.model_validate(content)


def differences(found: pa.Table, wanted: pa.Table) -> Iterator[str]:
    """Say where rows differ by more than the contract allows.

    Keys, moments, counts, extremes, last values, texts and nulls are exact; sums and means have an error of at most
    1e-12 of the (mean) size of what is added up, whose column is among those wanted.
    """
    sizes = {name for name in wanted.column_names if _column(name).startswith("size_")}
    names = [name for name in wanted.column_names if name not in sizes]
    if found.column_names != names:
        yield f"columns {found.column_names} instead of {names}"
        return
    if found.num_rows != wanted.num_rows:
        yield f"{found.num_rows} rows instead of {wanted.num_rows}"
        return
    for name in names:
        if _type(found, name) != _type(wanted, name):
            yield f"{name} is {_type(found, name)} instead of {_type(wanted, name)}"
        of_size = name.replace(_column(name), f"size_{_column(name)}")
        size = wanted[of_size].to_pylist() if of_size in sizes else [None] * wanted.num_rows
        for row, values in enumerate(zip(found[name].to_pylist(), wanted[name].to_pylist(), size, strict=True)):
            if not _same(*values):
                yield f"{name}, row {row}: {values[0]!r} instead of {values[1]!r}, of sizes {values[2]!r}"
                break


def _column(name: str) -> str:
    return name.rpartition(".")[2]


def _type(table: pa.Table, name: str) -> str:
    return str(table.schema.field(name).type).replace("large_", "").replace("element", "item").replace(" not null", "")


def _same(found: Any, wanted: Any, size: float | None) -> bool:
    if not isinstance(found, float) or not isinstance(wanted, float):
        return bool(found == wanted)
    if found == wanted or (math.isnan(found) and math.isnan(wanted)):
        return True
    return size is not None and abs(found - wanted) <= PROMISED * size


def all_differences(found: Results, wanted: Results) -> Mapping[str, list[str]]:
    """By feature table, and ``training_set``."""
    tables = {name: list(differences(found.views[name], one)) for name, one in wanted.views.items()}
    joined = list(differences(found.training_set, wanted.training_set))
    return {name: one for name, one in {**tables, "training_set": joined}.items() if one}
