"""What runs have left in the data folder; what cannot be read is named, and keeps nobody from seeing the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from proml_kedro.evaluation.result import RankingFacts
from proml_kedro.health.result import DriftResult

RESULTS = ("evaluation", "training_set", "bundle", "drift", "consistency")
"""Results of a problem and a model that the page shows."""

REPORTS = {".html": "text/html", ".png": "image/png", ".md": "text/plain", ".json": "text/plain", ".xml": "text/plain"}
"""Files of results that may be looked at, and as what."""

_WITH_REPORTS = ("evaluation", "bundle", "drift", "consistency")
_OTHERS = ("store", "feature_store", "features")
"""Folders below the data folder that belong to no problem."""

_VERDICTS = ("ok", "warn", "drift")

T = TypeVar("T")


@dataclass(frozen=True)
class Difference:
    """Model less baseline in one metric; None where nothing can be said."""

    difference: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Metrics:
    """``evaluation/metrics.json``."""

    rows: int
    candidate: dict[str, float | None]
    positive_rate: float | None = None
    baseline: dict[str, float | None] | None = None
    differences: dict[str, Difference] = field(default_factory=dict)
    cluster_by: str = "row"
    confidence: float = 0.95
    baseline_name: str | None = None
    label_mean: float | None = None
    ranking: RankingFacts | None = None


@dataclass(frozen=True)
class Split:
    """A part of a training set; from its first moment to its last, in UTC."""

    rows: int
    label_mean: Annotated[float | None, Field(validation_alias=AliasChoices("label_mean", "label_rate"))] = None
    start: Annotated[str | None, Field(alias="from")] = None
    to: str | None = None


@dataclass(frozen=True)
class TrainingSet:
    """``training_set/training_set.json``."""

    rows: int
    splits: dict[str, Split] = field(default_factory=dict)
    null_share: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Consistency:
    """``consistency/consistency.json``, without the single keys."""

    features: int
    present: int
    mismatches: int


@dataclass(frozen=True)
class ModelResult:
    """What is there of one model of one problem.

    Attributes:
        made: When its newest result was made, in UTC.
        metrics: None when it has not been evaluated.
        importance: Share of each input in the model's gain; empty when it has none to tell.
        baseline: Whether ``metrics`` compares it with another model.
        bundle: Whether there is a bundle.
        reports: Result → files that may be looked at.
        unreadable: What is there and cannot be read, one line each.
    """

    problem: str
    model: str
    made: datetime
    metrics: Metrics | None
    importance: Mapping[str, float]
    training_set: TrainingSet | None
    drift: DriftResult | None
    consistency: Consistency | None
    bundle: bool
    reports: Mapping[str, tuple[str, ...]]
    unreadable: tuple[str, ...]


def model_folders(data_dir: Path) -> list[Path]:
    """The folders ``<data>/<problem>/<model>`` that hold a result."""
    found = {one.parent for name in RESULTS for one in data_dir.glob(f"*/*/{name}") if one.is_dir()}
    return sorted(one for one in found if one.parent.name not in _OTHERS)


def read_results(data_dir: Path) -> list[ModelResult]:
    """Every model that was run, the newest first."""
    found = [_read_model(folder) for folder in model_folders(data_dir)]
    return sorted(found, key=lambda one: one.made, reverse=True)


def report_file(data_dir: Path, problem: str, model: str, result: str, name: str) -> Path | None:
    """A file of a result; None when it is not one of those that may be looked at.

    The names are compared with what lies there and never made into a path, so that none of them leads elsewhere.
    """
    for folder in model_folders(data_dir):
        if (folder.parent.name, folder.name) == (problem, model) and result in _WITH_REPORTS:
            return next((file for file in _reports(folder / result) if file.name == name), None)
    return None


def worst_drift(results: Iterable[ModelResult]) -> dict[tuple[str, str], str]:
    """The worst verdict on each feature of a problem, over the models that read it."""
    worst: dict[tuple[str, str], str] = {}
    for one in results:
        for finding in one.drift.columns if one.drift else ():
            key = (one.problem, finding.name)
            worst[key] = max(finding.verdict, worst.get(key, "ok"), key=_VERDICTS.index)
    return worst


def _read_model(folder: Path) -> ModelResult:
    reader = _Reader(folder)
    return ModelResult(
        problem=folder.parent.name,
        model=folder.name,
        made=datetime.fromtimestamp(max(_modified(folder)), UTC),
        metrics=reader.read("evaluation/metrics.json", Metrics),
        importance=reader.read("evaluation/importance.json", dict[str, float]) or {},
        training_set=reader.read("training_set/training_set.json", TrainingSet),
        drift=reader.read("drift/drift.json", DriftResult),
        consistency=reader.read("consistency/consistency.json", Consistency),
        bundle=(folder / "bundle").is_dir(),
        reports={one: tuple(file.name for file in _reports(folder / one)) for one in _WITH_REPORTS},
        unreadable=tuple(reader.unreadable),
    )


def _modified(folder: Path) -> Iterator[float]:
    for name in RESULTS:
        if (folder / name).is_dir():
            yield (folder / name).stat().st_mtime


def _reports(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.suffix in REPORTS and one.is_file() and not one.is_symlink())


class _Reader:
    """Reads files of a model and remembers which of them it could not read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.unreadable: list[str] = []

    def read(self, name: str, kind: type[T]) -> T | None:
        file = self._folder / name
        if not file.is_file():
            return None
        try:
            return _adapter(kind).validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            self.unreadable.append(f"{name} cannot be read: {_first_line(error)}")
            return None


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _first_line(error: Exception) -> str:
    """What is wrong first, without the values."""
    if isinstance(error, OSError):
        return error.strerror or "it is not there any more"
    assert isinstance(error, ValidationError)  # noqa: S101 - for the type checker
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
