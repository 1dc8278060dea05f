"""``searches/<search>/trials/<number>.json`` below the data folder: what a trial of a search was, and how good."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from proml_kedro.results.json_file import JsonFile, UnreadableError, first_line
from proml_kedro.results.run_record import Failure, Machine, RunRecord

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
        model: Name of the model that is varied, where no file of a model is.
        metric: What decides.
        higher_is_better: Which way is up.
        space: What varies, as it was written.
        overrides: What does not vary and was changed, as it was written.
        sampler: How combinations are chosen.
        pruning: Whether trials end early.
        seed: Of the sampler.
        made_from: Digest of data, configuration and code.
        judged: Numbers of the trials whose models have been judged on the test period.
    """

    FILE = "search.json"

    problem: str
    model: str
    metric: str
    higher_is_better: bool
    space: tuple[str, ...]
    overrides: tuple[str, ...]
    sampler: str
    pruning: str = "none"
    seed: int
    made_from: str
    judged: tuple[int, ...] = ()


def trial_records(data_dir: Path, say: Callable[[str], object]) -> Iterator[tuple[Path, RunRecord]]:
    """Read the trials of all searches below a data folder as records of runs, the newest first.

    Args:
        data_dir: The data folder.
        say: Called with one line for each search that is skipped.
    """
    found: list[tuple[Path, RunRecord]] = []
    for folder in sorted((data_dir / FOLDER).glob("*/")):
        try:
            facts = SearchFacts.read(folder)
            found += [
                (folder / "trials" / one.file_name, _as_run(folder.name, facts, one)) for one in read_trials(folder)
            ]
        except UnreadableError as error:
            say(f"{error.file}: its search is skipped, {error.reason}")
    yield from sorted(found, key=lambda one: (one[1].started, one[1].id), reverse=True)


def _as_run(search: str, facts: SearchFacts, trial: Trial) -> RunRecord:
    model = next((one.partition("=")[2] for one in trial.overrides if one.startswith("model=")), facts.model)
    return RunRecord(
        id=f"{search}.{trial.number}",
        started=trial.started,
        state="done" if trial.state == "pruned" else trial.state,
        command="kedro sweep",
        overrides=(*facts.overrides, *trial.overrides),
        problem=facts.problem,
        model=model,
        composition=facts.made_from,
        machine=Machine(trial.host, trial.process, "", 0, 0, ""),
        seconds=trial.seconds,
        cpu_seconds=trial.cpu_seconds,
        verdicts={"evaluation": "trial, ended early" if trial.state == "pruned" else "trial"},
        metrics={} if trial.value is None else {f"validation {facts.metric}": trial.value},
        error=Failure(trial.error) if trial.error else None,
    )


def read_trials(folder: Path, ended: dict[str, Trial] | None = None) -> list[Trial]:
    """Read the trials of a search in their order.

    Args:
        folder: The search.
        ended: Trials that have ended, by file, which are not read again; those that are read are added.

    Raises:
        UnreadableError: A file is no trial.
    """
    ended = {} if ended is None else ended
    found = []
    for file in sorted((folder / "trials").glob("[!.]*.json")):
        if (trial := ended.get(file.name)) is None:
            try:
                trial = Trial.of(json.loads(file.read_bytes()))
            except (OSError, ValueError) as error:
                raise UnreadableError(file, first_line(error)) from error
            if trial.state != "running":
                ended[file.name] = trial
        found.append(trial)
    return found
