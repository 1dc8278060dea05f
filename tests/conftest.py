"""What all tests share: a random order on demand, and the tiers that a run leaves out.

Puts this folder on the import path too, for the modules that tests of several folders share.
"""

from __future__ import annotations

import importlib
import os
import random
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tiers import WHOLE


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--shuffle`` and ``--engines``."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests of each, in a random order")
    engines = "engines that tests/engines is run on: duckdb, sail, and spark, which is at SPARK_REMOTE"
    parser.addoption("--engines", default="duckdb,sail", metavar="NAMES", help=engines)


def pytest_configure(config: pytest.Config) -> None:
    """Tell property-based tests which tier runs."""
    if _slow_ones_run(config):
        os.environ[WHOLE] = "yes"
    if hasattr(config, "workerinput"):
        _limit_linear_algebra()
    importlib.import_module(
        "proml_kedro.features.feast"
    )  # before a test imports Feast itself, which then costs a quarter


def _slow_ones_run(config: pytest.Config) -> bool:
    return "not slow" not in config.option.markexpr


def _limit_linear_algebra() -> None:
    """Load BLAS with one thread: those of several workers would spin while they wait for cores.

    What tests start themselves is not limited; runs set their own number.
    """
    with mock.patch.dict(os.environ, OPENBLAS_NUM_THREADS="1"):
        importlib.import_module("numpy.linalg")
        importlib.import_module("scipy.linalg")


def _costly() -> dict[str, tuple[str, ...]]:
    """What costs every worker that needs it many seconds, and the words by which files that need it are known.

    The fast tests that fork commands share the process that these are forked from; the slow ones are too many for that.
    """
    forked = () if os.environ.get(WHOLE) else ("run_kedro", "shop.run(")
    networks = ("models.deep", '"kind": "deep"', "check_block")
    return {"commands": ("finished_shop", *forked), "networks": networks, "compiled kernels": ("streamed",)}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files in their order, and what shares something costly to one worker."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _shares(config.rootpath / nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # long files are no longer last, nor is a random order put in order
    return Together(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Ask for one worker more than processors when slow tests run too: they wait for servers and processes much."""
    return (os.cpu_count() or 1) + 1 if _slow_ones_run(config) else None


@lru_cache
def _shares(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    return next((what for what, words in _costly().items() if any(word in text for word in words)), str(file))


@lru_cache
def _turn(file: Path) -> int:
    return 0 if _shares(file) in _costly() else 1 if "mark.slow" in file.read_text(encoding="utf-8") else 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle files and the tests of each; tests of a file stay together, for the fixtures that they share.

    In no random order, what takes long comes first, so that no worker is left alone with it.
    """
    seed = config.getoption("--shuffle")
    if seed is None:
        if hasattr(config, "workerinput"):
            items.sort(key=lambda one: _turn(one.path))
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
