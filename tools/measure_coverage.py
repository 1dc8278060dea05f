"""Run tests and list the lines of ``src`` that none of them runs; fail when fewer than 95 of 100 are run.

    python tools/measure_coverage.py                     # the fast and the slow tier
    python tools/measure_coverage.py tests/unit/spec     # some tests; arguments go to pytest, nothing fails

Processes that tests start are measured too. Compiled kernels cannot be, and do not count. What is to be counted stands
in ``pyproject.toml``, under ``tool.coverage``; figures lie in ``data/coverage``. When tests fail, so does this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "data/coverage"
EVERYTHING = ["-m", "not soak", "-n", "logical", "--maxprocesses", "4"]


def coverage(*arguments: str) -> int:
    """Run a command of coverage and return its exit code."""
    core = "sysmon" if sys.version_info >= (3, 12) else "ctrace"
    environment = {**os.environ, "COVERAGE_CORE": core, "COVERAGE_FILE": str(FIGURES / ".coverage")}
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Run the tests, then report; return the first exit code that is not 0."""
    shutil.rmtree(FIGURES, ignore_errors=True)
    FIGURES.mkdir(parents=True)
    failed = coverage("run", "-m", "pytest", *(arguments or EVERYTHING))
    coverage("combine", "--quiet")
    limit = ["--fail-under=0"] if arguments else []
    return failed or coverage("report", *limit)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
