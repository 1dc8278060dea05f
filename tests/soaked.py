"""Counts of long searches for rare faults, kept for benchmarks/README.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from proml_kedro import __version__
from proml_kedro.atomic import write_whole

COUNTS = Path(__file__).parents[1] / "benchmarks" / "soak.json"


def note(name: str, **counts: int) -> None:
    """Keep the counts of a whole soak."""
    known = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    day = datetime.now(UTC).date().isoformat()
    known[name] = {"version": __version__, "date": day, "counts": counts}
    write_whole(COUNTS, json.dumps(known, indent=1, sort_keys=True) + "\n")
