"""A search on disk: a folder with a file for each trial, which several processes fill together.

A file is written before its trial begins and again when it has ended. A process claims the files of its trials as long
as it lives: what a killed one has left unfinished is found, and the same trial is made again.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from proml_kedro.atomic import cannot_write, is_running, lock_beside, temporary_beside, this_process, write_whole
from proml_kedro.errors import Mistake, UserError
from proml_kedro.locks import Claims, seize, take
from proml_kedro.results.trial import FOLDER, SearchFacts, Trial, read_trials

Propose = Callable[[Sequence[Trial]], Trial | None]
"""Makes the next trial from all that have begun; None when there is none."""


class Study:
    """The folder of a search.

    Args:
        data_dir: The data folder.
        name: Name of the search.
        facts: What is searched.

    Attributes:
        name: Name of the search.
        folder: Its folder.

    Raises:
        UserError: Another search has this name, or nothing can be written there.
    """

    def __init__(self, data_dir: Path, name: str, facts: SearchFacts) -> None:
        self.name, self.folder = name, data_dir / FOLDER / name
        self._claims = Claims()
        self._ended: dict[str, Trial] = {}
        with cannot_write(self.folder / "trials"):
            (self.folder / "trials").mkdir(parents=True, exist_ok=True)
        with self._alone():
            there = self._read()
            if there is None:
                self._write(facts)
            elif replace(there, judged=()) != facts:
                message = f"search '{name}' is there already and is another one: {_difference(there, facts)}"
                raise UserError(Mistake("search.name", f"{message}; choose another name, or remove {self.folder}"))

    @property
    def facts(self) -> SearchFacts:
        """What is searched."""
        return SearchFacts.read(self.folder)

    def trials(self) -> list[Trial]:
        """Read the trials in their order; those that have ended are read once."""
        return read_trials(self.folder, self._ended)

    def begin(self, propose: Propose) -> Trial | None:
        """Take over a trial that a killed process has left, or begin another one.

        Returns:
            None when there is nothing to begin.
        """
        with self._alone():
            trials = self.trials()
            found = next((one for one in trials if self.is_left(one)), None) or propose(trials)
            if found is None:
                return None
            began = replace(found, process=this_process(), host=socket.gethostname(), started=_now())
            self._save(began)
            return began

    def end(self, trial: Trial) -> None:
        """Write what came of a trial."""
        self._save(trial)

    def is_left(self, trial: Trial) -> bool:
        """Tell whether nobody is at work any more on a trial that has not ended."""
        if trial.state != "running":
            return False
        try:
            descriptor = seize(self._file(trial))
        except OSError:  # no locks: the number of the process tells on its own machine
            return trial.host == socket.gethostname() and not is_running(trial.process)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def judge(self, trial: Trial) -> int:
        """Note that the model of a trial is judged on the test period; return how many of the search have been."""
        with self._alone():
            facts = self.facts
            judged = tuple(dict.fromkeys([*facts.judged, trial.number]))
            self._write(replace(facts, judged=judged))
            return len(judged)

    def _file(self, trial: Trial) -> Path:
        return self.folder / "trials" / trial.file_name

    def _save(self, trial: Trial) -> None:
        file = self._file(trial)
        temporary = temporary_beside(file)
        with cannot_write(file):
            try:
                temporary.write_text(json.dumps(trial.as_dict(), ensure_ascii=False))
                if trial.state == "running":
                    self._claims = Claims()  # that of the trial before is let go, and its file closed
                    self._claims.hold(temporary, becomes=file)
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)

    def _read(self) -> SearchFacts | None:
        return self.facts if (self.folder / SearchFacts.FILE).is_file() else None

    def _write(self, facts: SearchFacts) -> None:
        with cannot_write(self.folder / SearchFacts.FILE):
            write_whole(self.folder / SearchFacts.FILE, json.dumps(facts.as_dict(), indent=1, ensure_ascii=False))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time choose trials."""
        with cannot_write(self.folder / "trials"):
            lock = take(lock_beside(self.folder), lambda: None)
        try:
            yield
        finally:
            if lock:
                lock.release()


def _difference(there: SearchFacts, facts: SearchFacts) -> str:
    before, now = there.as_dict(), facts.as_dict()
    names = [name for name in now if name != "judged" and before[name] != now[name]]
    words = {"made_from": "data, configuration or code", "higher_is_better": "metric"}
    return f"it has other {', '.join(dict.fromkeys(words.get(name, name) for name in names))}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
