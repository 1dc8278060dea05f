"""What runs have left behind; what cannot be read is named, and keeps nobody from seeing the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from proml_kedro.results import (
    Consistency,
    DriftResult,
    Importance,
    Metrics,
    Places,
    TrainingSetFacts,
    UnreadableError,
)
from proml_kedro.results.json_file import JsonFile

SHOWN = ("evaluation", "training_set", "bundle", "drift", "consistency")
"""Results of a problem and a model that the page shows."""

REPORTS = {".html": "text/html", ".png": "image/png", ".md": "text/plain", ".json": "text/plain", ".xml": "text/plain"}
"""Files of results that may be looked at, and as what."""

_WITH_REPORTS = ("evaluation", "bundle", "drift", "consistency")

_VERDICTS = ("ok", "warn", "drift")

Folders = Mapping[str, Path]
"""Result → its folder, of one problem and model."""

F = TypeVar("F", bound=JsonFile)


@dataclass(frozen=True)
class ModelResult:
    """What is there of one model of one problem.

    Attributes:
        problem: Name of the problem.
        model: Name of the model.
        made: When its newest result was made, in UTC.
        metrics: None when it has not been evaluated.
        importance: Share of each input in the model's gain; empty when it has none to tell.
        training_set: None when there is none.
        drift: None when drift has not been checked.
        consistency: None when online values have not been checked.
        bundle: Whether there is a bundle.
        reports: Result → files that may be looked at.
        unreadable: What is there and cannot be read, one line each.
    """

    problem: str
    model: str
    made: datetime
    metrics: Metrics | None
    importance: Mapping[str, float]
    training_set: TrainingSetFacts | None
    drift: DriftResult | None
    consistency: Consistency | None
    bundle: bool
    reports: Mapping[str, tuple[str, ...]]
    unreadable: tuple[str, ...]


def result_folders(places: Places) -> dict[tuple[str, str], Folders]:
    """Find the folders of each model that has a result: problem and model → result → folder."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for name in SHOWN:
        for key, folder in places.find(name).items():
            found.setdefault(key, {})[name] = folder
    return dict(sorted(found.items()))


def read_results(places: Places) -> list[ModelResult]:
    """Read the results of every model that was run, the newest first."""
    found = [_read_model(*key, _resolved(folders)) for key, folders in result_folders(places).items()]
    return sorted(found, key=lambda one: one.made, reverse=True)


def _resolved(folders: Folders) -> Folders:
    """Follow the links once, so that all files of a result are those of one run."""
    return {name: folder.resolve() for name, folder in folders.items()}


def report_file(places: Places, problem: str, model: str, result: str, name: str) -> Path | None:
    """Find a file of a result; None when it is not one of those that may be looked at.

    The names are compared with what lies there and never made into a path, so that none of them leads elsewhere.
    """
    folders = result_folders(places).get((problem, model), {})
    if result not in folders or result not in _WITH_REPORTS:
        return None
    return next((file for file in _reports(folders[result]) if file.name == name), None)


def worst_drift(results: Iterable[ModelResult]) -> dict[tuple[str, str], str]:
    """Take the worst verdict on each feature of a problem, over the models that read it."""
    worst: dict[tuple[str, str], str] = {}
    for one in results:
        for finding in one.drift.columns if one.drift else ():
            key = (one.problem, finding.name)
            worst[key] = max(finding.verdict, worst.get(key, "ok"), key=_VERDICTS.index)
    return worst


def _read_model(problem: str, model: str, folders: Folders) -> ModelResult:
    reader = _Reader(folders)
    importance = reader.read("evaluation", Importance)
    return ModelResult(
        problem=problem,
        model=model,
        made=datetime.fromtimestamp(max(_modified(folders)), UTC),
        metrics=reader.read("evaluation", Metrics),
        importance=importance.shares if importance else {},
        training_set=reader.read("training_set", TrainingSetFacts),
        drift=reader.read("drift", DriftResult),
        consistency=reader.read("consistency", Consistency),
        bundle="bundle" in folders,
        reports={
            one: tuple(file.name for file in _reports(folders[one])) if one in folders else () for one in _WITH_REPORTS
        },
        unreadable=tuple(reader.unreadable),
    )


def _modified(folders: Folders) -> Iterator[float]:
    for folder in folders.values():
        yield folder.stat().st_mtime


def _reports(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.suffix in REPORTS and one.is_file() and not one.is_symlink())


class _Reader:
    """Reads files of a model's results and remembers which of them it could not read."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self.unreadable: list[str] = []

    def read(self, result: str, kind: type[F]) -> F | None:
        folder = self._folders.get(result)
        if folder is None or not (folder / kind.FILE).is_file():
            return None
        try:
            return kind.read(folder)
        except UnreadableError as error:
            self.unreadable.append(f"{result}/{kind.FILE} cannot be read: {error.reason}")
            return None
