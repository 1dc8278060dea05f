"""``searches/<search>/trials/<number>.json`` below the data folder: what a trial of a search was, and how good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from proml_kedro.results.json_file import JsonFile, UnreadableError, first_line

FOLDER = "searches"
"""Folder below the data folder that holds the searches."""

TrialState = Literal["running", "done", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class Trial(JsonFile):
    """One variation of a model, and its figure on the validation part.

    Attributes:
        number: From 1, in the order in which trials began.
        point: Where in the space it lies: by key the number out of an interval, or the position of a listed value.
        overrides: What it changes, as `kedro run` takes it.
        state: How far it is.
        process: Process that is or was at work on it.
        host: Machine of that process.
        started: When it began, in UTC.
        value: Figure of the metric on the validation part; None where there is none.
        curve: What the figures of the steps are; empty where there are none.
        steps: Figures of the validation part by step, of which less is better, where a model learned step by step and
            was watched.
        facts: What the components say of the fit.
        seconds: How long it took.
        cpu_seconds: CPU time that it took.
        error: Why it failed, in one line; None otherwise.
    """

    INDENT: ClassVar[int | None] = None

    number: int
    point: Mapping[str, float]
    overrides: tuple[str, ...]
    state: TrialState = "running"
    process: str = ""
    host: str = ""
    started: str = ""
    value: float | None = None
    curve: str = ""
    steps: tuple[float, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    cpu_seconds: float = 0.0
    error: str | None = None

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.number:06}.json"


@dataclass(frozen=True, kw_only=True)
class SearchFacts(JsonFile):
    """``search.json``: what is searched.

    Attributes:
        problem: Name of the problem.
        metric: What decides.
        higher_is_better: Which way is up.
        space: What varies, as it was written.
        overrides: What does not vary and was changed, as it was written.
        sampler: How combinations are chosen.
        seed: Of the sampler.
        made_from: Digest of data, configuration and code.
        judged: Numbers of the trials whose models have been judged on the test period.
    """

    FILE = "search.json"

    problem: str
    metric: str
    higher_is_better: bool
    space: tuple[str, ...]
    overrides: tuple[str, ...]
    sampler: str
    seed: int
    made_from: str
    judged: tuple[int, ...] = ()


def read_trials(folder: Path) -> list[Trial]:
    """Read the trials of a search in their order.

    Raises:
        UnreadableError: A file is no trial.
    """
    found = []
    for file in sorted((folder / "trials").glob("[!.]*.json")):
        try:
            found.append(Trial.of(json.loads(file.read_bytes())))
        except (OSError, ValueError) as error:
            raise UnreadableError(file, first_line(error)) from error
    return found
