"""What our online store costs behind Feast's interface, beside Feast's own SQLite store; both in turns.

    python benchmarks/online_store.py

Prints a table of CPU milliseconds, and last one line of JSON. 5,000 entities with 20 numbers each are materialized,
then 1 and 100 of them read: through Feast's own call from both stores, and as the service reads them from ours, without
Feast (in the table as "direct").
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

from proml_kedro.features.online.lookup import OnlineFeatures
from proml_kedro.features.online.open import open_store
from proml_kedro.spec.features import FeaturesSpec

ENTITIES, FEATURES, REPEATS = 5_000, 20, 60
STORES = {"ours": "proml_kedro.features.feast.online_store.RowOnlineStore", "feast": "sqlite"}
FIELDS = {f"f{one}": {"dtype": "float"} for one in range(FEATURES)}
END = datetime(2024, 1, 2, tzinfo=UTC)


def make_repository(folder: Path, kind: str, table: Path) -> FeatureStore:
    """A repository with one view over the table."""
    folder.mkdir()
    config = RepoConfig(
        project="bench",
        provider="local",
        repo_path=folder,
        registry={"registry_type": "file", "path": str(folder / "registry.db")},
        offline_store={"type": "proml_kedro.features.feast.offline_store.AsofOfflineStore"},
        online_store={"type": kind, "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(repo_path=str(folder), config=config)
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.INT64)
    source = FileSource(
        path=str(table), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
    )
    schema = [Field(name=f"f{one}", dtype=Float64) for one in range(FEATURES)]
    store.apply([user, FeatureView(name="view", entities=[user], schema=schema, source=source, ttl=timedelta(0))])
    return store


def write_table(file: Path) -> None:
    """A feature table with one row for each entity."""
    generator = np.random.default_rng(1)
    values = {f"f{one}": generator.normal(size=ENTITIES) for one in range(FEATURES)}
    times = {"event_timestamp": END - timedelta(hours=1), "created_timestamp": END - timedelta(hours=1)}
    pd.DataFrame({"user": np.arange(ENTITIES), **times, **values}).to_parquet(file)


def cpu_milliseconds(work: Callable[[], Any]) -> float:
    """CPU time of the process for one call."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


def main() -> None:
    """Measure and print."""
    names = [f"view:f{one}" for one in range(FEATURES)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_table(folder / "table.parquet")
        stores = {name: make_repository(folder / name, kind, folder / "table.parquet") for name, kind in STORES.items()}
        figures: dict[str, float] = {}
        for name, store in stores.items():
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                spent = cpu_milliseconds(lambda store=store: store.materialize(END - timedelta(days=1), END))
            figures[f"{name}_entities_per_cpu_s"] = ENTITIES / spent * 1e3
            figures[f"{name}_mb"] = sum(one.stat().st_size for one in (folder / name).glob("online.db*")) / 2**20
        spec = FeaturesSpec.model_validate({"view": {"key": "user", "source": {"table": "t"}, "features": FIELDS}})
        store_of_ours = open_store(folder / "ours" / "online.db", "bench")
        direct = OnlineFeatures(store_of_ours, spec, spec.columns())
        pick = random.Random(3)
        for rows in (1, 100):
            times: dict[str, list[float]] = {name: [] for name in (*stores, "direct")}
            for _ in range(REPEATS):
                asked = [{"user": pick.randrange(ENTITIES)} for _ in range(rows)]
                for name, store in stores.items():
                    read = lambda store=store, asked=asked: store.get_online_features(names, asked)  # noqa: E731
                    times[name].append(cpu_milliseconds(read))
                times["direct"].append(cpu_milliseconds(lambda asked=asked: direct.read(asked, END)))
            for name, spent_each in times.items():
                for quantile in (50, 99):
                    figures[f"{name}_read_{rows}_p{quantile}_cpu_ms"] = float(np.percentile(spent_each, quantile))
    print(f"{'':<28} {'ours':>10} {'feast':>10} {'direct':>10}")
    for name in [one.removeprefix("ours_") for one in figures if one.startswith("ours_")]:
        cells = [figures.get(f"{store}_{name}") for store in ("ours", "feast", "direct")]
        print(f"{name:<28}", *(f"{'' if one is None else format(one, '.2f'):>10}" for one in cells))
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
