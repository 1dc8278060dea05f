"""An aggregate, a table reader and a split of somebody else's package, used from YAML with no file of ours touched."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kedro_process import run_kedro

pytestmark = pytest.mark.e2e

HOW_TO = Path(__file__).parents[2] / "docs/how-to/extend-tables.md"

ENTRY_POINTS = """\
[proml_kedro.aggregates]
geometric_mean = my_package.geometric_mean:GeometricMean

[proml_kedro.table_readers]
fixed_width = my_package.fixed_width:FixedWidth

[proml_kedro.splits]
hash = my_package.hash_split:HashSplit
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder in which the package of the how-to is installed: by entry points, without its decorators."""
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").write_text("")
    for code in re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL):
        file = site / code.partition("\n")[0].removeprefix("# ")
        file.write_text(re.sub(r"^@\w+\.register.*\n", "", code, flags=re.MULTILINE))
    info = site / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


@pytest.fixture
def shop_with_tools(shop, package):
    """The shop, whose visits come in columns of fixed width, divided by customer."""
    with (shop.folder / "visits.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    widths = {name: max(len(row[position]) for row in rows) + 1 for position, name in enumerate(header)}
    lines = ["".join(one.ljust(width) for one, width in zip(row, widths.values(), strict=True)) for row in rows]
    (shop.folder / "visits.fwf").write_text("\n".join(lines) + "\n")
    (shop.folder / "visits.csv").unlink()
    types = "{at: TIMESTAMPTZ, ordered: BIGINT, pages: BIGINT}"
    source = f"visits: {{source: visits.fwf, widths: {json.dumps(widths)}, types: {types}}}"
    shop.edit("conf/problem/shop.yaml", "visits: {source: visits.csv}", source)
    split = "{by: hash, column: customer, percent: 20}"
    shop.edit("conf/problem/shop.yaml", "{validation_from: 2024-03-01, test_from: 2024-04-01}", split)
    typical = "typical: {agg: geometric_mean, expression: amount, above: 10, windows: [7d], description: typical order}"
    shop.edit("conf/features/shop.yaml", "    orders: {agg", f"    {typical}\n    orders: {{agg")
    shop.environment["PYTHONPATH"] = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    return shop


def python(shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **shop.environment}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_a_package_extends_tables_windows_and_splits(shop_with_tools):
    shop = shop_with_tools
    tests = next(Path(shop.environment["PYTHONPATH"].partition(os.pathsep)[0]).rglob("test_tables.py"))
    proved = python(shop, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tests.parent), str(tests))
    assert "3 passed" in proved.stdout, proved.stdout
    done = shop.run("--pipelines=features")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(shop.result("training_set") / "training_set.parquet").to_pylist()
    assert len(rows) == 6000
    sides = {(row["customer"], row["split"]) for row in rows}
    assert len(sides) == len({customer for customer, _ in sides}), "a customer is on two sides"
    assert set(Counter(row["split"] for row in rows)) == {"train", "validation", "test"}
    _check_geometric_means(shop.folder / "orders.csv", rows)
    found = _features(shop, "search", "typical order")
    assert "orders.typical_7d" in found.stdout
    described = _features(shop, "describe", "orders.typical_7d")
    assert "geometric_mean" in described.stdout
    assert _features(shop, "validate").returncode == 0
    value = _features(shop, "get", "customer=c1", "--at", "2024-03-01T00:00Z", "--features", "orders.typical_7d")
    assert value.returncode == 0, value.stderr


def _features(shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = [f"data_dir={shop.data}", "--conf-source", str(shop.conf)]
    return run_kedro(["features", *arguments, *options], Path(__file__).parents[2], shop.environment)


def _check_geometric_means(orders: Path, rows: list[dict]) -> None:
    """The feature of each 100th visit, by hand: orders of the seven days before the hour's tick."""
    with orders.open(newline="") as stream:
        events = [
            (one["customer"], datetime.fromisoformat(one["at"]), float(one["amount"])) for one in csv.DictReader(stream)
        ]
    present = 0
    for row in rows[::100]:
        tick = row["event_timestamp"].replace(minute=0, second=0, microsecond=0)
        inside = [
            amount
            for customer, at, amount in events
            if customer == row["customer"] and tick - timedelta(days=7) <= at < tick and amount > 10
        ]
        wanted = math.exp(math.fsum(map(math.log, inside)) / len(inside)) if inside else None
        given = row["orders.typical_7d"]
        assert (given is None) == (wanted is None)
        assert wanted is None or math.isclose(given, wanted, rel_tol=1e-9)
        present += wanted is not None
    assert present > 10


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("features.orders.features.typical.agg=geometric_meen", "Did you mean 'geometric_mean'?"),
        ("features.orders.features.typical.agg=mean", "above belongs to agg 'geometric_mean', not to 'mean'"),
        ("problem.split.by=hush", "Did you mean 'hash'?"),
        ("problem.split.column=costumer", "Did you mean 'customer'?"),
        ("++problem.tables.visits.reader=fixed", "Did you mean 'fixed_width'?"),
        ("problem.tables.visits.source=visits.fwd", "widths"),
    ],
)
def test_mistakes_are_explained(shop_with_tools, override, message):
    done = shop_with_tools.run("--pipelines=features", override)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
