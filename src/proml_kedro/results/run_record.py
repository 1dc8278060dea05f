"""``runs/<time>-<id>.json`` below the data folder: what a run was, what it cost, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from proml_kedro.results.json_file import JsonFile, first_line

FOLDER = "runs"
"""Folder below the data folder that holds the records."""

VERSION = 1
"""Version of the form that records are written in."""

State = Literal["running", "done", "failed"]


@dataclass(frozen=True)
class Machine:
    """Machine that a run is on.

    Attributes:
        host: Its name.
        process: Number of the process and its start.
        system: Operating system and architecture.
        cpus: Processors that the process may use.
        threads: Threads that ``hardware.threads`` allows.
        memory: What ``hardware.memory`` allows.
    """

    host: str
    process: str
    system: str
    cpus: int
    threads: int
    memory: str


@dataclass(frozen=True)
class Failure:
    """Error that ended a run.

    Attributes:
        text: The error in one line.
        retriable: Whether trying again can help.
        step: The step that was at work; None when none was.
    """

    text: str
    retriable: bool = False
    step: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord(JsonFile):
    """Record of a run; written when it begins, and again when it ends.

    Attributes:
        version: Of the form.
        id: Eight hexadecimal digits.
        started: When it began, in ISO format, UTC.
        ended: When it ended; None while it runs, and of one that was killed.
        state: ``running`` in the file of one that was killed, too.
        command: As it was typed, without secrets.
        overrides: Changes to the configuration, without secrets.
        problem: Name of the problem.
        model: Name of the model.
        composition: Digest of the whole checked configuration.
        commit: Of the project's Git checkout, with ``-dirty`` where files differ from it; None without one.
        machine: Where it ran.
        versions: Of Python, this package, and the libraries that were loaded.
        seconds: From beginning to end.
        steps: Seconds of each step that was finished.
        cpu_seconds: Of the process and its children.
        peak_memory: Most bytes that the process has held.
        results: Name → place below the folder ``store``, of what was made or taken over.
        verdicts: What ``evaluation``, ``drift`` and ``consistency`` have come to, by these names.
        metrics: Metrics of the model on the test period.
        error: Why it failed; None otherwise.
    """

    INDENT: ClassVar[int | None] = 1

    version: int = VERSION
    id: str
    started: str
    ended: str | None = None
    state: State = "running"
    command: str
    overrides: tuple[str, ...] = ()
    problem: str
    model: str
    composition: str
    commit: str | None = None
    machine: Machine
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    results: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    error: Failure | None = None

    @property
    def file_name(self) -> str:
        """Name of its file, by which records are in the order of their beginnings."""
        moment = self.started.replace("-", "").replace(":", "").partition("+")[0]
        return f"{moment}-{self.id}.json"


def record_files(data_dir: Path) -> list[Path]:
    """Return the files of all records below a data folder, the oldest first."""
    return sorted((data_dir / FOLDER).glob("[!.]*.json"))


def read_records(data_dir: Path, say: Callable[[str], object]) -> Iterator[tuple[Path, RunRecord]]:
    """Read the records below a data folder, the newest first; what cannot be read is skipped.

    Args:
        data_dir: The data folder.
        say: Called with one line for each file that is skipped.
    """
    for file in reversed(record_files(data_dir)):
        try:
            content = json.loads(file.read_bytes())
            version = content.get("version") if isinstance(content, dict) else None
            if isinstance(version, int) and version > VERSION:
                say(f"{file}: is skipped, it was written by a later version of proml_kedro")
            else:
                yield file, RunRecord.of(content)
        except FileNotFoundError:  # another run has removed it just now
            continue
        except (OSError, ValueError, RecursionError) as error:
            say(f"{file}: is skipped, it is no record of a run: {first_line(error)}")
