"""500 random tables, stacked by 25, on each engine: windows, columns and training sets, equal by the contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from both import HERE, all_differences, engine, read, run, with_sizes
from constructs import AGGREGATES
from random_events import make_case

BATCHES, TABLES, AT_ONCE = 20, 25, 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1000 + BATCHES))
def test_random_tables_are_the_same(seed: int, opened: object, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    names = [list(AGGREGATES)[one] for one in generator.choice(len(AGGREGATES), AT_ONCE, replace=False)]
    case = make_case(seed, TABLES, names)
    tables = read(case, tmp_path)
    wanted = run(case, with_sizes(case.features), tables, HERE, tmp_path / "wanted")
    found = run(case, case.features, tables, opened, tmp_path / "found")  # type: ignore[arg-type]
    assert all_differences(found, wanted) == {}


@pytest.fixture(scope="module")
def opened(name_of_engine: str):
    with engine(name_of_engine) as hardware:
        yield hardware
