"""Long searches for rare faults. Each test is there twice: a sample in CI, and the whole of it by ``make soak``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proml_kedro import __version__
from proml_kedro.atomic import write_whole

COUNTS = Path(__file__).parents[2] / "benchmarks" / "soak.json"


@pytest.fixture
def note() -> Callable[..., None]:
    """Keep the counts of a whole soak for benchmarks/README.md."""

    def write(name: str, **counts: int) -> None:
        known = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
        day = datetime.now(UTC).date().isoformat()
        known[name] = {"version": __version__, "date": day, "counts": counts}
        write_whole(COUNTS, json.dumps(known, indent=1, sort_keys=True) + "\n")

    return write
