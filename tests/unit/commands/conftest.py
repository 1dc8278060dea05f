from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proml_kedro.commands.features import make_group
from shop import Shop

ROOT = Path(__file__).parents[3]

CONFIG = """\
defaults:
  - problem: shop
  - features: ${problem}
  - model: trees
  - hardware: cpu
  - evaluation: default
  - serving: default
  - monitoring: default
  - catalog: default
  - _self_
"""
PROBLEM = """\
tables:
  visits: {source: visits.parquet, columns: {hour: hour(seen_at), is_big: amount > 12}}
  prices: {source: prices.csv}
  regions: {source: regions.csv}
  tastes: {source: tastes.parquet}
examples: {table: visits, entities: [user, item], timestamp: seen_at, lead_time: 30m}
label: {expression: amount > 10, drop_when: amount is null}
split: {validation_from: 2024-03-20, test_from: 2024-03-26}
"""
FEATURES = """\
visit:
  source: request
  features:
    hour: {dtype: int, description: hour of the day}
    is_big: {dtype: bool}
price:
  key: item
  source: {table: prices, event_time: valid_from, delay: 10m, ttl: 2d}
  features:
    price: {dtype: float, description: list price}
region:
  key: user
  source: {table: regions}
  features:
    area: {dtype: str}
spending:
  key: [user, item]
  source: {table: visits, event_time: seen_at, delay: 1h}
  snapshot: 30m
  owner: shop@example.com
  features:
    amount: {agg: mean, expression: amount, windows: [2h, all], description: mean amount}
    visits: {agg: count, windows: [2h, 1d], description: visits}
"""
TREES = """\
components:
  trees: {kind: xgboost, inputs: [price.price, "spending.*", visit.hour], num_boost_round: 5}
score: trees
"""


class Project:
    """A project of the shop's problem, and `kedro features` on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "conf"
        self.data = folder / "data"
        self.write("config.yaml", CONFIG)
        self.write("problem/shop.yaml", PROBLEM)
        self.write("features/shop.yaml", FEATURES)
        self.write("model/trees.yaml", TREES)

    def write(self, file: str, text: str) -> None:
        path = self.conf / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.conf / file).read_text()
        assert old in text
        self.write(file, text.replace(old, new, 1))

    def features(self, *arguments: str, stdin: str | None = None) -> Result:
        name, *rest = arguments
        words = [name, *rest, f"data_dir={self.data}", "--conf-source", str(self.conf)]
        return CliRunner().invoke(make_group(), words, input=stdin, standalone_mode=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="session")
def read_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that tests only read: what is searched is indexed once."""
    return Project(tmp_path_factory.mktemp("read"))


@pytest.fixture(scope="session")
def make_project() -> Callable[[Path], Project]:
    return Project


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def compare(make_project: Callable[[Path], Project], tmp_path: Path) -> Callable[..., Result]:
    """`kedro compare` in a project of its own."""
    from proml_kedro.cli import cli

    project = make_project(tmp_path)

    def run(*words: object) -> Result:
        options = ["--set", f"data_dir={project.data}", "--conf-source", str(project.conf)]
        return CliRunner().invoke(cli, ["compare", *map(str, words), *options])

    return run
