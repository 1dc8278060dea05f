"""The small problem with its tables, and an online store that is filled from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.bundle import BundleContent, write_bundle
from proml_kedro.spec.run import RunSpec
from small import CITIES, fit, make_config


def write_visits(folder: Path, rows: int, shops: int) -> None:
    generator = np.random.default_rng(11)
    minutes = np.sort(generator.choice(90 * 1440, rows, replace=False))
    price = generator.normal(20, 5, rows)
    table = pa.table(
        {
            "visited_at": pa.array(np.datetime64("2024-01-01T00:00", "us") + minutes * np.timedelta64(1, "m")),
            "shop": generator.integers(0, shops, rows),
            "city": generator.choice(CITIES, rows),
            "price": price,
            "items": generator.poisson(3, rows),
            "member": generator.random(rows) < 0.3,
            "amount": np.where(generator.random(rows) < 1 / (1 + np.exp(-(price - 20) / 3)), price, 0.0),
        }
    )
    pq.write_table(table, folder / "visits.parquet")
    pq.write_table(pa.table({"shop": np.arange(shops)}), folder / "shops.parquet")


def make_online(
    base: Path, rows: int = 1500, shops: int = 5, **serving: Any
) -> tuple[Path, Path, dict[str, Any], list[str]]:
    """A data folder as a run leaves it, with values as of its newest example; its bundle, that example, features."""
    from proml_kedro.features.feast.history import FeastHistory
    from proml_kedro.features.feast.materialize import materialize
    from proml_kedro.features.feast.repository import open_repository, register
    from proml_kedro.features.tables.read import read_tables
    from proml_kedro.features.training.training_set import build_training_set, newest_moment
    from proml_kedro.features.views.compute import compute_views

    write_visits(base, rows, shops)
    config = make_config(**serving)
    run = RunSpec.model_validate(config)
    data = base / "data"
    tables, views, training = base / "tables", data / "sales" / "feature_tables", base / "training"
    for folder in (tables, views, training):
        folder.mkdir(parents=True)
    columns = run.features.columns()
    read_tables(run.problem, run.features, base, run.hardware, tables)
    compute_views(run.problem, run.features, tables, run.hardware, views)
    repository = open_repository(run.problem, run.features, data, run.hardware)
    register(repository, run.problem, run.features, "sales_xgboost", columns, views)
    build_training_set(run.problem, run.features, columns, tables, FeastHistory(repository), run.hardware, training)
    training_set = training / "training_set.parquet"
    materialize(repository, newest_moment(training_set), "sales_xgboost")
    bundle = data / "store" / "bundle"
    bundle.mkdir(parents=True)
    write_bundle(
        bundle,
        BundleContent(graph=fit(config, training_set), config=config, training_set=training_set, metrics={}),
        name="sales",
        version="1",
        shown_at=bundle,
    )
    newest = pq.read_table(training_set).sort_by("event_timestamp").to_pylist()[-1]
    return data, bundle, newest, list(columns)
