"""The marketplace's index: made from the configuration and the results, and kept until one of them changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, TypeVar

import yaml
from yaml import YAMLError

from proml_kedro.artifacts import code_fingerprint, fingerprint
from proml_kedro.errors import UserError
from proml_kedro.marketplace.entry import Entry, FeatureUsage, list_features
from proml_kedro.marketplace.index import FORMAT, Market
from proml_kedro.project import Declared, Project
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.inputs import input_types, is_entity, matching

T = TypeVar("T")

_FACTS = ("training_set/training_set.json", "evaluation/importance.json", "bundle/proml.yaml")
"""Results that say something of features, below ``<data>/<problem>/<model>``."""


def open_market(project: Project) -> tuple[Market, list[str]]:
    """The index for this configuration and these results; made when there is none yet.

    Args:
        project: What the command works on.

    Returns:
        The index, and a line for each problem that had to be left out.

    Raises:
        UserError: The configuration is not sound.
    """
    folder = project.data_dir / "features"
    file = folder / f"market-{_fingerprint(project)}.sqlite"
    if file.is_file():
        return Market(file), []
    problems, notices = project.problems()
    inputs = project.model_inputs()
    results = _Results(project.data_dir)
    entries = [entry for one in problems for entry in _entries(one, inputs, results)]
    try:
        market = Market.build(file, entries)
    except OSError as error:
        raise UserError.at("data_dir", f"cannot write to {folder}: {error.strerror}") from error
    except OperationalError as error:  # SQLite's own words for a folder or disk that cannot be written to
        raise UserError.at("data_dir", f"cannot write to {folder}: {error}") from error
    notices = [*notices, *results.unreadable]
    for old in folder.glob("market-*.sqlite"):
        if old != file:
            old.unlink(missing_ok=True)
    if notices:  # they are to be said the next time too
        file.unlink()
    return market, notices


def _fingerprint(project: Project) -> str:
    """A digest of all that the index is made from."""
    return fingerprint(
        {
            "format": FORMAT,
            "code": [code_fingerprint(name) for name in ("marketplace", "project")],
            "files": {str(file): file.read_text(encoding="utf-8", errors="replace") for file in project.files()},
            "overrides": project.overrides,
            "env": project.env,
            # A result is a link to a folder that never changes.
            "results": [str(file.resolve()) for pattern in _FACTS for file in _results(project.data_dir, pattern)],
        }
    )


def _results(data_dir: Path, pattern: str, problem: str = "*") -> list[Path]:
    return sorted(data_dir.glob(f"{problem}/*/{pattern}"))


def _entries(declared: Declared, inputs: dict[str, list[str]], results: _Results) -> Iterator[Entry]:
    types = input_types(declared.problem, declared.features)
    usage = FeatureUsage(
        models={model: reads for model, patterns in inputs.items() if (reads := _reads(patterns, types))},
        **results.facts(declared.problem.name),
    )
    return list_features(declared.problem, declared.features, usage, declared.where)


def _reads(patterns: list[str], types: Mapping[str, Dtype]) -> list[str]:
    """The features that a model reads, beside keys; none when it was written for another problem."""
    matches = [list(matching(pattern, types)) for pattern in patterns]
    return sorted({name for found in matches for name in found if not is_entity(name)}) if all(matches) else []


class _Results:
    """What results say of features; what cannot be read is left out and named.

    Args:
        data_dir: Where results are kept.

    Attributes:
        unreadable: A line for each file that cannot be read.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.unreadable: list[str] = []

    def facts(self, problem: str) -> dict[str, Any]:
        """Bundles, shares of missing values, and importances, as :class:`FeatureUsage` takes them."""
        training_set, importance, bundle = _FACTS
        return {
            "bundles": dict(self._read(problem, bundle, _read_bundle)),
            "null_share": _largest(self._read(problem, training_set, _read_null_share)),
            "importance": _largest(self._read(problem, importance, _read_importance)),
        }

    def _read(self, problem: str, pattern: str, read: Callable[[str], T]) -> list[T]:
        found = []
        for file in _results(self._data_dir, pattern, problem):
            try:
                found.append(read(file.read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError):
                self.unreadable.append(f"{file} cannot be read, and is left out: `kedro run reuse=false` makes it anew")
        return found


def _read_bundle(text: str) -> tuple[str, list[str]]:
    content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return f"{content['name']}:{content['version']}", [one["name"] for one in content["schema"]["inputs"]]


def _read_null_share(text: str) -> dict[str, float]:
    return _as_numbers(json.loads(text)["null_share"])


def _read_importance(text: str) -> dict[str, float]:
    return _as_numbers(json.loads(text))


def _as_numbers(content: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in content.items() if value is not None}


def _largest(files: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The largest value that any of the files has for each feature."""
    largest: dict[str, float] = {}
    for file in files:
        for name, value in file.items():
            largest[name] = max(value, largest.get(name, value))
    return largest
