"""Long searches for rare faults: trials that are done are remembered, and counts kept for benchmarks/README.md."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from proml_kedro import __version__
from proml_kedro.atomic import write_whole

ROOT = Path(__file__).parents[1]
COUNTS = ROOT / "benchmarks" / "soak.json"
SHARE, MINUTES = "SOAK_SHARE", "SOAK_MINUTES"
"""Variables: the part of a search that a process does, such as ``2/3``, and after which time it leaves the rest."""


def note(name: str, **counts: int) -> None:
    """Keep the counts of a whole soak."""
    known = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    day = datetime.now(UTC).date().isoformat()
    known[name] = {"version": __version__, "date": day, "counts": counts}
    write_whole(COUNTS, json.dumps(known, indent=1, sort_keys=True) + "\n")


class Search:
    """Trials of a search that takes hours, each done once for one state of the code, by whichever process comes to it.

    Args:
        name: Of the search.
        trials: What each trial is called.
        keep: Whether trials are remembered; otherwise all are done.
    """

    def __init__(self, name: str, trials: Sequence[str], keep: bool) -> None:
        self._end = time.monotonic() + 60 * float(os.environ.get(MINUTES, "inf"))
        part, _, parts = os.environ.get(SHARE, "1/1").partition("/")
        self._trials = trials
        self._mine = trials[int(part) - 1 :: int(parts)] if keep else trials
        self._file = ROOT / ".pytest_cache" / "soak" / f"{name}-{_digest()}.jsonl" if keep else None
        self._ends: dict[str, str] = {}

    def pending(self) -> Iterator[str]:
        """Give each trial that is still to be done; :meth:`done` is called before the next."""
        for trial in self._mine:
            if trial not in self._done() and time.monotonic() < self._end:
                yield trial

    def done(self, trial: str, end: str) -> None:
        """Remember how a trial has ended."""
        self._ends[trial] = end
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as stream:
                stream.write(json.dumps([trial, end]) + "\n")

    def ends(self) -> Counter[str] | None:
        """How often trials have ended in each way; None while some are left."""
        done = self._done()
        return Counter(done[one] for one in self._trials) if set(self._trials) <= done.keys() else None

    def _done(self) -> dict[str, str]:
        if self._file and self._file.exists():
            return dict(json.loads(line) for line in self._file.read_text().splitlines())
        return self._ends


def _digest() -> str:
    """Digest of what a trial proves something about."""
    files = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").glob("*.py")])
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
