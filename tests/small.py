"""A small problem with everything a bundle needs, for tests that do not care which problem it is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.bundle import BundleContent, write_bundle
from proml_kedro.health.periods import History
from proml_kedro.health.reference import Reference
from proml_kedro.models.columns import in_split, read_columns
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.inputs import input_types
from proml_kedro.spec.monitoring import MonitoringSpec, ReferenceSpec
from proml_kedro.spec.run import RunSpec

XGBOOST = {"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 20}}
CITIES = ["Bern", "Lima", "Oslo"]
METRICS = {
    "rows": 500,
    "task": "binary",
    "cluster_by": "day",
    "clusters": 30,
    "candidate": {"auc": 0.8, "logloss": 0.5},
    "baseline": {"auc": 0.7, "logloss": 0.6},
    "differences": {"auc": {"difference": 0.1, "low": 0.05, "high": 0.15}},
}


def make_config(
    components: dict[str, Any] | None = None, rank: dict[str, Any] | None = None, **serving: Any
) -> dict[str, Any]:
    """The resolved configuration of a run that predicts whether a visit ends in a sale; with ``rank``, items are a
    feature that is known only once visits have been put in order."""
    components = components or XGBOOST
    run = {
        "problem": {
            "name": "sales",
            "description": "A visit ends in a sale",
            "tables": {"visits": {"source": "visits.parquet"}, "shops": {"source": "shops.parquet"}},
            "examples": {"table": "visits", "entities": ["shop"], "timestamp": "visited_at", "lead_time": "1h"},
            "label": {"expression": "amount > 0"},
            "split": {"validation_from": "2024-02-01", "test_from": "2024-03-01"},
        },
        "features": {
            "visit": {
                "source": "request",
                "features": {
                    "city": {"dtype": "str", "description": "where the visitor is"},
                    "shop": {"dtype": "int"},
                    "price": {"dtype": "float", "description": "in euros"},
                    "items": {"dtype": "int", "neutral": 3 if rank else None},
                    "member": {"dtype": "bool"},
                },
            },
            "traffic": {
                "key": "shop",
                "source": {"table": "visits", "event_time": "visited_at"},
                "features": {"visits": {"agg": "count", "windows": ["3h", "all"], "description": "visits"}},
            },
        },
        "model": {"name": "xgboost", "components": components, "score": next(reversed(components)), "rank": rank},
        "hardware": {"threads": 1},
        "serving": {"max_rows": 50, "golden_rows": 20, "max_body_bytes": 20_000, **serving},
    }
    return RunSpec.model_validate(run).model_dump(mode="json")


def write_training_set(file: Path, rows: int = 1500) -> Path:
    """A training set of that problem, with missing values in every feature."""
    generator = np.random.default_rng(5)
    price, items = generator.normal(20, 5, rows), generator.poisson(3, rows)
    shop = generator.integers(0, 40, rows)
    city, member = generator.choice(CITIES, rows), generator.random(rows) < 0.3
    visits = generator.poisson(20, rows)
    margin = (price - 20) / 5 + 0.4 * (items - 3) + np.where(city == "Lima", 1.5, -0.5) + member
    moments = np.datetime64("2024-01-01T00:00", "us") + np.arange(rows) * np.timedelta64(90 * 1440 // rows, "m")

    def column(values: Any, kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind, mask=generator.random(rows) < 0.05)

    zoned = pa.timestamp("us", "UTC")
    split = np.where(moments < np.datetime64("2024-02-01"), "train", "validation")
    table = pa.table(
        {
            "example_id": pa.array(np.arange(rows)),
            "shop": pa.array(shop),
            "timestamp": pa.array(moments, zoned),
            "event_timestamp": pa.array(moments - np.timedelta64(1, "h"), zoned),
            "split": pa.array(np.where(moments < np.datetime64("2024-03-01"), split, "test")),
            "label": pa.array((generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float32)),
            "visit.shop": pa.array(shop),
            "visit.city": column(city, pa.string()),
            "visit.price": column(price, pa.float64()),
            "visit.items": column(items, pa.int64()),
            "visit.member": column(member, pa.bool_()),
            "traffic.visits_3h": column(visits, pa.int64()),
            "traffic.visits_all": column(visits * 7, pa.int64()),
        }
    )
    pq.write_table(table, file)
    return file


def fit(config: dict[str, Any], training_set: Path) -> ModelGraph:
    """The model of a configuration, fitted."""
    run = RunSpec.model_validate(config)
    graph = ModelGraph(run.model, input_types(run.problem, run.features))

    def examples(split: str) -> Examples:
        columns = dict(read_columns(training_set, [*graph.inputs, Input("label", "float")], in_split(split)))
        return Examples(columns, columns.pop("label"))

    graph.fit(examples("train"), examples("validation"), FitContext(HardwareSpec(threads=1), seed=1))
    return graph


def make_bundle(
    folder: Path,
    rank: dict[str, Any] | None = None,
    components: dict[str, Any] | None = None,
    version: str = "v1",
    **serving: Any,
) -> Path:
    """A bundle of that problem below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = make_config(components, rank=rank, **serving)
    training_set = write_training_set(folder / "training_set.parquet")
    bundle = folder / "bundle"
    bundle.mkdir()
    graph = fit(config, training_set)
    monitoring = MonitoringSpec(reference=ReferenceSpec(last=timedelta(days=60)))
    monitoring = MonitoringSpec(reference=ReferenceSpec(last=timedelta(days=60)))
    reference = Reference.of(History(training_set, graph), monitoring)
    write_bundle(
        bundle,
        BundleContent(
            graph=graph,
            config=config,
            training_set=training_set,
            reference=reference.model_dump_json(),
            metrics=METRICS,
            lineage={"training_set": "0123456789abcdef"},
        ),
        name="sales-xgboost",
        version=version,
        shown_at=Path("data/sales/xgboost/bundle"),
    )
    return bundle
