"""Examples + features known at their moment + label + split → one Parquet file to learn from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.session import connect
from proml_kedro.features.on_demand.batches import with_on_demand
from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.features.tables.statistics import column_statistics
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.classes import with_classes
from proml_kedro.features.training.examples import check_examples, examples_sql
from proml_kedro.features.training.facts import Facts, read_facts
from proml_kedro.features.training.join import FeatureHistory, PointInTimeJoin
from proml_kedro.features.training.requested import blaming, request_features
from proml_kedro.features.training.values import values_sql
from proml_kedro.results import TrainingSetFacts
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import EVENT_TIMESTAMP, EXAMPLE_ID, FILE, TrainingSetSchema

logger = logging.getLogger(__name__)


def build_training_set(
    problem: ProblemSpec,
    features: FeaturesSpec,
    columns: Mapping[str, Dtype],
    tables: Path,
    history: FeatureHistory | None,
    hardware: HardwareSpec,
    folder: Path,
) -> None:
    """Write ``training_set.parquet`` and, with its figures, ``training_set.json``.

    The file has a row for each example with a label, in the order of the examples' table: ``example_id`` (int64, from
    0), the entities, where examples have a moment ``timestamp`` (that), ``event_timestamp`` (``lead_time`` before it,
    as of which features are read) and ``day``, then ``split``, ``label`` (float64; of several
    classes the number of each row's, from 0, and their names are in ``training_set.json``), and a column
    ``view.feature`` for each feature, for a vector a list of float32. Where the problem has them there are ``weight``
    (float64), ``group``, and ``label.name`` (float64) for each auxiliary label. Rows are streamed; no more than the
    hardware's memory is used.

    Args:
        problem: The problem.
        features: Its features.
        columns: Those to write, as ``view.feature``; what on-demand ones are computed from is written too.
        tables: Folder of the problem's tables.
        history: Where stored features come from; not needed when all of them come with the request.
        hardware: The machine.
        folder: An empty folder to write to.

    Raises:
        UserError: Columns or expressions that do not work, a split without rows or with only one class.
    """
    on_demand = OnDemand(features, columns)
    taken = {name: dtype for name, dtype in columns.items() if name not in on_demand.dtypes} | on_demand.needs
    requested = {name for name in taken if features.views[FeatureRef.parse(name).view].is_request}
    brought = request_features(features, sorted(requested))
    with connect(hardware, folder) as session:
        read = Tables(session, tables)
        check_examples(problem, brought, read)
        problem = with_classes(problem, read)
        facts = read_facts(problem, read)
        query = examples_sql(problem, brought, read)
    joined = [name for name in taken if name not in requested]
    target = folder / FILE
    join = _join(history, query, joined, hardware)
    derive = partial(with_on_demand, on_demand=on_demand) if on_demand.dtypes else None
    columns_sql = _columns(TrainingSetSchema(problem, taken), features)
    with blaming(problem, brought, tables, hardware):
        rows = join.write_parquet(target, columns_sql, order_by=EXAMPLE_ID, derive=derive)
    _check_rows(rows, facts, target, hardware)
    figures = _figures(facts, target, columns, hardware)
    TrainingSetFacts.of({**figures, "classes": problem.label.classes}).write(folder)
    logger.info("training set: %s rows, %s features", f"{rows:,}", len(columns))


def newest_moment(training_set: Path) -> datetime:
    """Return the latest moment as of which a training set's features are read; 1970 where examples have no moments.

    Args:
        training_set: The Parquet file.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if EVENT_TIMESTAMP not in pq.read_schema(training_set).names:
        return datetime.fromtimestamp(0, UTC)  # no view is stored either
    newest: datetime = pc.max(pq.read_table(training_set, columns=[EVENT_TIMESTAMP])[EVENT_TIMESTAMP]).as_py()
    return newest


def _join(history: FeatureHistory | None, query: str, joined: list[str], hardware: HardwareSpec) -> PointInTimeJoin:
    if not joined:
        return PointInTimeJoin(query, hardware)
    if history is None:
        raise ValueError("features that do not come with the request are joined by a feature history")
    return history.join(query, [FeatureRef.parse(name) for name in joined])


def _columns(schema: TrainingSetSchema, features: FeaturesSpec) -> dict[str, str]:
    """Name → SQL of the training set's columns, from those that the join results in."""
    return {name: quote(name) for name in schema.columns} | values_sql(schema.features, features)


def _check_rows(rows: int, facts: Facts, target: Path, hardware: HardwareSpec) -> None:
    with connect(hardware, target.parent) as session:
        (different,) = session.row(f"SELECT count(DISTINCT {EXAMPLE_ID}) FROM {session.parquet(target)}")
    if not rows == different == facts.rows:
        raise RuntimeError(f"the join lost or doubled rows: {facts.rows} examples, {rows} rows, {different} different")


def _figures(facts: Facts, target: Path, columns: Mapping[str, Dtype], hardware: HardwareSpec) -> dict[str, Any]:
    return {
        "rows": facts.rows,
        "dropped": facts.dropped,
        "splits": facts.splits,
        "null_share": _null_shares(facts.rows, target, columns, hardware),
    }


def _null_shares(rows: int, target: Path, columns: Iterable[str], hardware: HardwareSpec) -> dict[str, float]:
    """By what the file itself says; vectors are counted."""
    told = column_statistics(target)
    nulls = {name: told[name].nulls if name in told else None for name in columns}
    counted = [name for name, count in nulls.items() if count is None]
    if counted:
        counts = ", ".join(f"count(*) - count({quote(name)})" for name in counted)
        with connect(hardware, target.parent) as session:
            nulls |= zip(counted, session.row(f"SELECT {counts} FROM {session.parquet(target)}"), strict=True)
    return {name: (count or 0) / rows for name, count in nulls.items()}
