from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # what the suite shares


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name_of_engine" in metafunc.fixturenames:
        names = metafunc.config.getoption("--engines").split(",")
        metafunc.parametrize("name_of_engine", names, scope="module")
