"""A small shop: visits to be predicted, prices that change, events to aggregate, regions that stay."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.views.compute import compute_views
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

HARDWARE = HardwareSpec(threads=1, memory="300MB")
START = datetime(2024, 3, 1, tzinfo=UTC)

PROBLEM: dict[str, Any] = {
    "name": "shop",
    "tables": {
        "visits": {"source": "visits.parquet", "columns": {"hour": "hour(seen_at)", "is_big": "amount > 12"}},
        "prices": {"source": "prices.csv"},
        "regions": {"source": "regions.csv"},
        "tastes": {"source": "tastes.parquet"},
    },
    "examples": {"table": "visits", "entities": ["user", "item"], "timestamp": "seen_at", "lead_time": "30m"},
    "label": {"expression": "amount > 10", "drop_when": "amount is null"},
    "split": {"validation_from": "2024-03-20", "test_from": "2024-03-26"},
}
FEATURES: dict[str, Any] = {
    "visit": {
        "source": "request",
        "features": {"hour": {"dtype": "int"}, "is_big": {"dtype": "bool"}, "wish": {"dtype": "vector[3]"}},
    },
    "price": {
        "key": "item",
        "source": {"table": "prices", "event_time": "valid_from", "delay": "10m", "ttl": "2d"},
        "features": {"price": {"dtype": "float"}, "label": {"dtype": "str", "expression": "upper(tag)"}},
    },
    "gaps": {
        "source": "on_demand",
        "owner": "shop@example.com",
        "features": {
            "gap": {"dtype": "float", "expression": "price.price - spending.amount_2h", "description": "dearer by"},
            "late_gap": {"dtype": "float", "expression": "case when visit.hour > 12 then gaps.gap else 0 end"},
            "tag": {"dtype": "str", "expression": "lower(coalesce(price.label, region.area, 'none'))"},
            "busy": {"dtype": "bool", "expression": "spending.visits_1d > 5 or visit.is_big"},
            "likeness": {"dtype": "float", "expression": "cosine_similarity(visit.wish, taste.embedding)"},
            "hours": {"dtype": "int", "expression": "visit.hour / 2"},
        },
    },
    "taste": {
        "key": "item",
        "source": {"table": "tastes", "event_time": "known_from", "ttl": "30d"},
        "features": {"embedding": {"dtype": "vector[3]", "description": "what people like"}},
    },
    "region": {"key": "user", "source": {"table": "regions"}, "features": {"area": {"dtype": "str"}}},
    "spending": {
        "key": ["user", "item"],
        "source": {"table": "visits", "event_time": "seen_at", "delay": "1h"},
        "snapshot": "30m",
        "owner": "shop@example.com",
        "features": {
            "amount": {"agg": "mean", "expression": "amount", "windows": ["2h", "all"]},
            "total": {"agg": "sum", "expression": "amount", "windows": ["1d"]},
            "visits": {"agg": "count", "windows": ["2h", "1d"], "description": "visits"},
            "big": {"agg": "count", "filter": "amount > 10", "windows": ["all"]},
            "least": {"agg": "min", "expression": "amount", "windows": ["1d"]},
        },
    },
    "habits": {
        "key": ["user", "item"],
        "source": {"table": "visits", "event_time": "seen_at", "delay": "1h"},
        "snapshot": "1h",
        "defaults": {"windows": ["1d", "all"]},
        "features": {
            "spread": {"agg": "std", "expression": "amount"},
            "latest": {"agg": "last", "expression": "amount"},
            "size": {"agg": "last", "expression": "if(amount > 10, 'large', 'small')", "dtype": "str"},
            "different_hours": {"agg": "count_distinct", "expression": "hour(seen_at)"},
            "large": {"agg": "rate", "expression": "amount > 10"},
            "upper": {"agg": "quantile", "q": 0.9, "expression": "amount"},
            "faded": {"agg": "decay", "half_life": "6h", "expression": "amount"},
        },
    },
}


def write_sources(folder: Path, n: int = 3000, change: Callable[[dict[str, Any]], None] = lambda columns: None) -> None:
    """Write the shop's files; ``change`` may alter the visits' columns."""
    generator = np.random.default_rng(3)
    minutes = np.sort(generator.integers(0, 30 * 24 * 60, n))
    amount = np.where(generator.random(n) < 0.1, np.nan, generator.normal(10, 4, n).round(2))
    columns: dict[str, Any] = {
        "user": [None if one == 9 else int(one) for one in generator.integers(0, 10, n)],
        "item": [f"i{one}" for one in generator.integers(0, 6, n)],
        "seen_at": [START + timedelta(minutes=int(one)) for one in minutes],
        "amount": [None if np.isnan(one) else float(one) for one in amount],
    }
    wishes = generator.normal(size=(n, 3)).round(3).tolist()
    columns["wish"] = [None if number % 7 == 0 else one for number, one in enumerate(wishes)]
    change(columns)
    pq.write_table(pa.table(columns), folder / "visits.parquet")
    tastes = {
        "item": [f"i{one % 5}" for one in range(20)],
        "known_from": [START + timedelta(days=one) for one in range(20)],
        "embedding": [None if one == 13 else generator.normal(size=3).tolist() for one in range(20)],
    }
    pq.write_table(pa.table(tastes), folder / "tastes.parquet")
    prices = ["item,valid_from,price,tag"]
    for _ in range(200):
        moment = START + timedelta(minutes=int(generator.integers(-1000, 43200)))
        price = "NA" if generator.random() < 0.1 else f"{generator.normal(5, 1):.2f}"
        prices.append(
            f"i{generator.integers(0, 5)},{moment:%Y-%m-%d %H:%M:%S},{price},{generator.choice(['a', 'b', ''])}"
        )
    (folder / "prices.csv").write_text("\n".join(prices) + "\n")
    (folder / "regions.csv").write_text("user,area\n0,north\n1,south\n2,\n3,NA\n1,east\n,west\n")


class Shop:
    """The shop, with its tables and feature tables computed; those of its usual sources once in a process."""

    def __init__(self, folder: Path, **sources: Any) -> None:
        self.folder = folder
        self.problem = ProblemSpec.model_validate(PROBLEM)
        self.features = FeaturesSpec.model_validate(FEATURES)
        self.data = folder / "data"
        self.tables = folder / "tables"
        self.views = self.data / "shop" / "feature_tables"
        if sources:
            self._compute(**sources)
        else:
            shutil.copytree(_usual(), folder, dirs_exist_ok=True)

    def _compute(self, **sources: Any) -> None:
        for one in (self.tables, self.views):
            one.mkdir(parents=True)
        write_sources(self.folder, **sources)
        read_tables(self.problem, self.features, self.folder, HARDWARE, self.tables)
        compute_views(self.problem, self.features, self.tables, HARDWARE, self.views)


@cache
def _usual() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    Shop(folder, n=3000)
    return folder
