"""A small problem in a folder of its own, and `kedro run` as a user types it."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kedro_process import run_kedro
from tiers import WHOLE

ROOT = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")
EVERYTHING = "--pipelines=features,train,evaluate,bundle,monitor,materialize,package"

CONFIG = """\
defaults:
  - problem: shop
  - features: ${problem}
  - model: xgboost
  - hardware: cpu
  - evaluation: default
  - serving: default
  - monitoring: default
  - catalog: default
  - _self_
  - optional env: local
config_version: 1
seed: 0
reuse: true
"""

PROBLEM = """\
tables:
  visits: {source: visits.csv}
  orders: {source: orders.csv}
examples:
  table: visits
  entities: [customer]
  timestamp: at
label: {expression: ordered = 1}
split: {validation_from: 2024-03-01, test_from: 2024-04-01}
"""

FEATURES = """\
visit:
  source: request
  features:
    pages: {dtype: int, description: pages looked at}
    device: {dtype: str}
orders:
  key: customer
  source: {table: orders, event_time: at}
  snapshot: 1h
  features:
    spent: {agg: sum, expression: amount, windows: [7d, all]}
    orders: {agg: count, windows: [7d]}
"""


@dataclass
class Shop:
    """A problem of two tables, one entity, a label and a split by time, outside of the project.

    Attributes:
        folder: Holds ``conf`` and the tables.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.folder / "conf"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def result(self, name: str, model: str = "xgboost") -> Path:
        return self.data / "shop" / model / name

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"'{old}' is not in {file}"
        path.write_text(text.replace(old, new, 1))

    def command(self, *arguments: str) -> list[str]:
        return [str(KEDRO), "run", "--conf-source", str(self.conf), f"data_dir={self.data}", *arguments]

    def run(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        return run_kedro(self.command(*arguments)[1:], ROOT, self.environment, timeout)


def make_shop(folder: Path) -> Shop:
    """Write the tables and the configuration; customers who ordered lately order again."""
    (folder / "conf" / "problem").mkdir(parents=True)
    (folder / "conf" / "features").mkdir()
    (folder / "conf" / "config.yaml").write_text(CONFIG)
    (folder / "conf" / "problem" / "shop.yaml").write_text(PROBLEM)
    (folder / "conf" / "features" / "shop.yaml").write_text(FEATURES)
    generator = random.Random(7)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    last_order: dict[str, datetime] = {}
    visits: list[tuple[object, ...]] = []
    orders: list[tuple[object, ...]] = []
    for number in range(6000):
        at = start + timedelta(minutes=29 * number)
        customer = f"c{generator.randrange(80)}"
        pages = generator.randrange(1, 20)
        lately = customer in last_order and at - last_order[customer] < timedelta(days=7)
        ordered = generator.random() < 0.05 + 0.02 * pages + (0.35 if lately else 0.0)
        visits.append((number, customer, at.isoformat(), pages, generator.choice(["phone", "desk", ""]), int(ordered)))
        if ordered:
            last_order[customer] = at
            orders.append((customer, (at + timedelta(minutes=10)).isoformat(), round(generator.uniform(5, 90), 2)))
    _write(folder / "visits.csv", ("visit", "customer", "at", "pages", "device", "ordered"), visits)
    _write(folder / "orders.csv", ("customer", "at", "amount"), orders)
    return Shop(folder)


def _write(file: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An untouched shop."""
    return make_shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def new_shop() -> Callable[[Path], Shop]:
    """Makes an untouched shop in a folder, for modules that keep one of their own."""
    return make_shop


@pytest.fixture(scope="session")
def job_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the search for jobs, the same for all workers: its tables and features are made once."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "jobs" / "data"


@pytest.fixture(scope="session")
def finished_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop on which everything was run once; tests read it and add to it, but change nothing in it."""
    shop = make_shop(tmp_path_factory.mktemp("finished") / "shop")
    shop.environment |= refuse_connections(tmp_path_factory.mktemp("connections"))
    done = _run_anew(shop) if os.environ.get(WHOLE) else shop.run()
    assert done.returncode == 0, done.stderr
    packaged = shop.run("--pipelines=materialize,package")
    assert packaged.returncode == 0, packaged.stderr
    shop.environment |= {"FINISHED_OUTPUT": done.stdout, "PACKAGED_OUTPUT": packaged.stdout}
    shop.environment |= {"FINISHED_ERRORS": done.stderr, "PACKAGED_ERRORS": packaged.stderr}
    yield shop
    log = Path(shop.environment["CONNECTIONS"])
    assert not log.exists(), log.read_text()  # nothing that a run has left behind calls home later


def _run_anew(shop: Shop) -> subprocess.CompletedProcess[str]:
    """Run in a process that imports everything itself: what libraries do when they are imported is seen in CI."""
    environment = {**os.environ, **shop.environment}
    return subprocess.run(shop.command(), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)


def refuse_connections(folder: Path) -> dict[str, str]:
    """Variables for processes that refuse connections to other machines, and write each into ``CONNECTIONS``."""
    log = folder / "connections"
    (folder / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
        import socket

        def refuse(self, address, *rest):
            if self.family != socket.AF_UNIX and not str(address[0]).startswith("127."):
                with open({str(log)!r}, "a") as stream:
                    stream.write(f"{{address}}\\n")
                raise OSError("refused by the test")
            return connect(self, address, *rest)

        connect = socket.socket.connect
        socket.socket.connect = refuse
        resolve = socket.getaddrinfo

        def lookup(host, *rest, **more):
            if host not in (None, "localhost", "127.0.0.1"):
                with open({str(log)!r}, "a") as stream:
                    stream.write(f"{{host}}\\n")
                raise OSError("refused by the test")
            return resolve(host, *rest, **more)

        socket.getaddrinfo = lookup
        """)
    )
    return {"PYTHONPATH": str(folder), "CONNECTIONS": str(log)}


@pytest.fixture(scope="session")
def files() -> Callable[[Path], set[str]]:
    """The files below a folder, by relative path."""
    return lambda folder: {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
