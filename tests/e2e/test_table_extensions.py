"""An aggregate, a table reader and a split of somebody else's package, used from YAML with no file of ours touched."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.e2e

AGGREGATE = '''
"""A mean of ratios."""

import math
from typing import Any, ClassVar, Literal

from proml_kedro.features.views.aggregates import Aggregate, Event, Slot


class GeometricMean(Aggregate):
    """The geometric mean of the positive values; others take no part."""

    example: ClassVar = {"expression": "abs(x) + 0.1"}
    agg: Literal["geometric_mean"]
    above: float = 0.0

    def event_value(self) -> str:
        value = super().event_value()
        return f"CASE WHEN {value} > {self.above} THEN {value} END"

    def partials(self, slot: Slot) -> dict[str, str]:
        return {"n": f"count({slot.value})", "s": f"fsum(ln({slot.value}))"}

    def final(self, slot: Slot, frame: str) -> str:
        return f"exp(fsum({slot.column('s')}) OVER {frame} / nullif(sum({slot.column('n')}) OVER {frame}, 0))"

    def of_events(self, events: list[Event], at: int) -> Any:
        return math.exp(math.fsum(math.log(one.value) for one in events) / len(events)) if events else None
'''

READER = r'''
"""Files with columns of fixed width."""

from typing import ClassVar

from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.features.tables.readers import TableReader


class FixedWidth(TableReader):
    """Lines without a header, whose columns have fixed widths; blanks are null.

    Attributes:
        widths: Column to number of characters, in order.
    """

    suffixes: ClassVar = (".fwf",)
    widths: dict[str, int]

    def relation(self, files, session):
        columns, start = [], 1
        for name, width in self.widths.items():
            columns.append(f"nullif(trim(substr(line, {start}, {width})), '') AS {quote(name)}")
            start += width
        dialect = "delim = '\x1f', quote = '', escape = '', header = false, auto_detect = false"
        lines = f"read_csv({literal(str(files[0]))}, columns = {{line: 'VARCHAR'}}, {dialect})"
        return session.relation(f"(SELECT {', '.join(columns)} FROM {lines})")

    @classmethod
    def sample(cls, rows, folder):
        text = [["" if one is None else str(one) for one in row.values()] for row in rows.to_pylist()]
        lines = ["".join(one.ljust(12) for one in row) for row in text]
        (folder / "rows.fwf").write_text("\n".join(lines) + "\n")
        return {"source": "rows.fwf", "widths": {"n": 12, "x": 12, "s": 12}, "types": {"n": "BIGINT", "x": "DOUBLE"}}
'''

SPLIT = '''
"""Examples divided by what they are about."""

from typing import ClassVar, Literal

from proml_kedro.engine.duckdb import quote
from proml_kedro.spec.split import SplitSpec


class HashSplit(SplitSpec):
    """By the hash of a column: all examples of one value are on one side.

    Attributes:
        column: The column.
        percent: Of validation, and of test.
    """

    example: ClassVar = {"column": "user", "percent": 30}
    by: Literal["hash"]
    column: str
    percent: int

    def sql(self, timestamp):
        place = f"hash({quote(self.column)}) % 100"
        return (
            f"CASE WHEN {place} < {self.percent} THEN 'test' WHEN {place} < {2 * self.percent} THEN 'validation' "
            "ELSE 'train' END"
        )

    def columns(self):
        yield self.column, "column"
'''

ENTRY_POINTS = """\
[proml_kedro.aggregates]
geometric_mean = shop_tools.aggregate:GeometricMean

[proml_kedro.table_readers]
fixed_width = shop_tools.reader:FixedWidth

[proml_kedro.splits]
hash = shop_tools.split:HashSplit
"""

LAWS = """\
import sys, tempfile
from pathlib import Path
from proml_kedro.extensions import aggregates, splits
from proml_kedro.testing import check_aggregate, check_split, check_table_reader

check_aggregate({"agg": "geometric_mean", **aggregates.get("geometric_mean").example})
check_split({"by": "hash", **splits.get("hash").example})
check_table_reader("fixed_width", Path(tempfile.mkdtemp()))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder in which the package ``shop_tools`` is installed."""
    site = tmp_path / "site"
    code, info = site / "shop_tools", site / "shop_tools-1.0.dist-info"
    code.mkdir(parents=True)
    info.mkdir()
    (code / "__init__.py").write_text("")
    (code / "aggregate.py").write_text(AGGREGATE)
    (code / "reader.py").write_text(READER)
    (code / "split.py").write_text(SPLIT)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-tools\nVersion: 1.0\n")
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


def test_a_package_extends_tables_windows_and_splits(shop_with_tools):
    shop = shop_with_tools
    proved = python(shop, "-c", LAWS)
    assert proved.returncode == 0, proved.stderr
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
    return python(shop, "-m", "kedro", "features", *arguments, *options)


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
