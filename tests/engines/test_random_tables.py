"""500 random tables, stacked by 25, on each engine: windows, columns and training sets, equal by the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from both import HERE, Opened, all_differences, opened, read, run, with_sizes
from constructs import AGGREGATES
from random_events import make_case

BATCHES, TABLES, AT_ONCE = 20, 25, 4


@pytest.fixture(scope="module")
def engines(pytestconfig: pytest.Config) -> Iterator[dict[str, Opened]]:
    with ExitStack() as stack:
        names = pytestconfig.getoption("--engines").split(",")
        yield {name: stack.enter_context(opened(name)) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1000 + BATCHES))
def test_random_tables_are_the_same(seed: int, engines: dict[str, Opened], tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    names = [list(AGGREGATES)[one] for one in generator.choice(len(AGGREGATES), AT_ONCE, replace=False)]
    case = make_case(seed, TABLES, names)
    tables = read(case, tmp_path)
    wanted = run(case, with_sizes(case.features), tables, HERE, tmp_path / "wanted")
    for name, one in engines.items():
        with one.used():
            found = run(case, case.features, tables, one.hardware, tmp_path / name)
        assert all_differences(found, wanted) == {}, name
