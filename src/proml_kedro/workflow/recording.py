"""The record of a run while it goes on: written when it begins, and again when it ends.

A run claims its record as long as it lives, so that one which was killed is told from one that goes on.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from proml_kedro.artifacts import Artifact
from proml_kedro.atomic import is_running, temporary_beside, this_process
from proml_kedro.digests import fingerprint
from proml_kedro.errors import RetriableError, UserError, first_line, masked, masked_setting, shortened
from proml_kedro.hardware import cpu_seconds, peak_memory
from proml_kedro.locks import Claims, seize
from proml_kedro.results import Consistency, DriftResult, Metrics, UnreadableError
from proml_kedro.results.run_record import FOLDER, Failure, Machine, RunRecord, record_files
from proml_kedro.spec.hardware import usable_cpus
from proml_kedro.workflow.champion import Challenge
from proml_kedro.workflow.run import Run

logger = logging.getLogger(__name__)

KEPT = 1000
"""How many records are kept; when a run begins the oldest beyond that go."""

_LIBRARIES = {
    **{name: name for name in ("kedro", "duckdb", "numpy", "pandas", "pyarrow", "xgboost", "tensorflow", "feast")},
    **{"sklearn": "scikit-learn", "numba": "numba", "evidently": "evidently", "bentoml": "bentoml"},
}
"""Module → distribution, of what is named with its version where it was loaded."""

_GIT_SECONDS = 5.0

_last: Recording | None = None
"""Of this process, the one that was begun last, unless it is complete."""


class Recording:
    """The record of a run that goes on. What cannot be written is warned of, and keeps nobody from running.

    Attributes:
        record: The record as it is so far.
        steps: Seconds of each step that is finished.
        results: What was made or taken over, by name; to be added to.
        challenge: What came of a comparison with the champion; None where there was none.
        watch: Called with the name of each step that begins.
    """

    def __init__(self, record: RunRecord, data_dir: Path, cpu_before: float) -> None:
        self.record = record
        self.steps: dict[str, float] = {}
        self.results: dict[str, Artifact] = {}
        self.challenge: Challenge | None = None
        self._said: set[str | None] = set()
        self.watch: Callable[[str], None] = lambda name: None
        self._at_work: str | None = None
        self._step_began: dict[str, float] = {}
        self._store = data_dir / "store"
        self._file = data_dir / FOLDER / record.file_name
        self._claims, self._began, self._cpu_before = Claims(), time.perf_counter(), cpu_before

    @classmethod
    def begin(cls, run: Run, command: str, overrides: Sequence[str], alone: bool = True) -> Self:
        """Write the record of a run that begins.

        Args:
            run: The run.
            command: How it was begun, without secrets.
            overrides: Changes to the configuration, as they were written.
            alone: Whether this process is there for nothing else, so that all it has cost counts.
        """
        global _last
        spec = run.spec
        hardware = spec.hardware
        system = f"{platform.system()} {platform.release()} {platform.machine()}"
        place = (socket.gethostname(), this_process(), system, usable_cpus(), hardware.threads, hardware.memory)
        record = RunRecord(
            id=uuid4().hex[:8],
            started=_now(),
            command=shortened(masked(command), 2000),
            overrides=tuple(map(masked_setting, overrides)),
            problem=spec.problem.name,
            model=spec.model.name,
            composition=fingerprint(spec),
            commit=_commit(run.base_path),
            machine=Machine(*place),
            versions=_versions(),
        )
        begun = cls(record, run.store.data_dir, 0.0 if alone else cpu_seconds())
        begun._write()
        begun._rotate()
        _last = begun
        return begun

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Record how long a step takes, and that it was at work when an error comes out of it."""
        self.begin_step(name)
        yield
        self.end_step(name)

    def begin_step(self, name: str) -> None:
        """Record that a step is at work."""
        self._at_work = name
        self._step_began[name] = time.perf_counter()
        self.watch(name)

    def end_step(self, name: str) -> None:
        """Record how long a step that was begun has taken."""
        self.steps[name] = time.perf_counter() - self._step_began[name]
        self._at_work = None

    def complete(self) -> None:
        """Write that the run has come to its end."""
        global _last
        self._end("done", None)
        _last = None

    def fail(self, error: BaseException) -> None:
        """Write that the run has failed, and why; of several errors the last counts."""
        text, retriable = _one_line(error), isinstance(error, RetriableError)
        self._end("failed", Failure(text, retriable, self._at_work))

    def _end(self, state: Literal["done", "failed"], error: Failure | None) -> None:
        verdicts, metrics = _outcome(self.results)
        if self.challenge:
            verdicts["champion"] = self.challenge.kind
            if self.challenge.failed_gates:
                failed = ", ".join(f"{one.metric} failed" for one in self.challenge.failed_gates)
                verdicts["champion"] += f"; {failed}"
        store = self._store.resolve()
        self.record = replace(
            self.record,
            state=state,
            ended=_now(),
            error=error,
            versions=_versions(),
            seconds=round(time.perf_counter() - self._began, 3),
            steps={name: round(seconds, 3) for name, seconds in self.steps.items()},
            cpu_seconds=round(cpu_seconds() - self._cpu_before, 3),
            peak_memory=peak_memory(),
            results={name: os.path.relpath(one.path.resolve(), store) for name, one in self.results.items()},
            verdicts=verdicts,
            metrics=metrics,
        )
        self._write()

    def _write(self) -> None:
        """Write the record, or write over it; at no moment is there a part of it, or is it not claimed."""
        temporary = temporary_beside(self._file)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self.record.as_dict(), indent=self.record.INDENT))
            if self.record.state == "running":
                self._claims.hold(temporary, becomes=self._file)
            temporary.replace(self._file)
        except OSError as error:
            if error.strerror not in self._said:
                logger.warning("the run is not recorded in %s: %s", self._file.parent, error.strerror)
            self._said.add(error.strerror)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _rotate(self) -> None:
        with suppress(OSError):
            for file in record_files(self._store.parent)[:-KEPT]:
                file.unlink(missing_ok=True)


def fail_last(error: BaseException) -> None:
    """Write why the run that this process has begun last has failed, unless that one is complete."""
    if _last is not None:
        _last.fail(error)


def state_of(file: Path, record: RunRecord) -> Literal["running", "done", "failed", "killed"]:
    """Return in which state a run is: one that neither goes on nor has ended was killed."""
    if record.state != "running":
        return record.state
    try:
        descriptor = seize(file)
    except OSError:  # no locks, or no right to open it: the number of the process tells on its own machine
        here = record.machine.host == socket.gethostname()
        return "running" if not here or is_running(record.machine.process) else "killed"
    if descriptor is None:
        return "running"
    os.close(descriptor)
    return "killed"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _one_line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, UserError):
        first, *others = str(error).splitlines() or [""]
        return shortened(first + (f" (and {len(others)} more)" if others else ""), 500)
    return shortened(masked(" ".join(f"{type(error).__name__}: {first_line(error)}".split())), 500)


def _commit(folder: Path) -> str | None:
    """Return the commit that a folder is a checkout of; None where there is no Git, no checkout, or no answer soon."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and nothing in it that a user has typed but a folder
            command, env=environment, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    import proml_kedro

    found = {"python": platform.python_version(), "proml_kedro": proml_kedro.__version__}
    for module, distribution in _LIBRARIES.items():
        if module in sys.modules:
            with suppress(PackageNotFoundError):
                found[distribution] = version(distribution)
    return found


def _outcome(results: Mapping[str, Artifact]) -> tuple[dict[str, str], dict[str, float | None]]:
    """Read what results have come to: verdicts, and metrics of the model."""
    verdicts: dict[str, str] = {}
    metrics: dict[str, float | None] = {}

    def read(kind: Any, name: str) -> Any:
        with suppress(UnreadableError):
            return kind.read(results[name].path) if name in results else None

    if (found := read(Metrics, "evaluation")) is not None:
        metrics = dict(found.candidate)
        verdicts |= {"evaluation": found.verdict.kind} if found.verdict else {}
        if found.gates:
            verdicts["gates"] = ", ".join(f"{one.metric} failed" for one in found.failed_gates) or "passed"
    if (drift := read(DriftResult, "drift")) is not None:
        verdicts["drift"] = drift.verdict
    if (compared := read(Consistency, "consistency")) is not None:
        verdicts["consistency"] = f"{compared.mismatches} of {compared.present} differ"
    return verdicts, metrics
