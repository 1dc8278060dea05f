"""What all tests share: a random order on demand, and the tiers that a run leaves out.

Puts this folder on the import path too, for the modules that tests of several folders share.
"""

from __future__ import annotations

import os
import random
from itertools import groupby

import pytest

from tiers import WHOLE


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--shuffle``."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests of each, in a random order")


def pytest_configure(config: pytest.Config) -> None:
    """Tell property-based tests which tier runs."""
    if "not slow" not in config.option.markexpr:
        os.environ[WHOLE] = "yes"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle files and the tests of each; tests of a file stay together, for the fixtures that they share."""
    seed = config.getoption("--shuffle")
    if seed is None:
        return
    order = random.Random(seed)
    files = [list(tests) for _, tests in groupby(items, key=lambda one: one.path)]
    for tests in files:
        order.shuffle(tests)
    order.shuffle(files)
    items[:] = [one for tests in files for one in tests]


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the seed, so that an order that fails can be repeated."""
    seed = config.getoption("--shuffle")
    return None if seed is None else f"order: --shuffle {seed}"
