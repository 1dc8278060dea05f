"""The marketplace's index: made from the configuration and the results, and kept until one of them changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from sqlite3 import DatabaseError, OperationalError
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from proml_kedro.bundle import BundleOutline
from proml_kedro.digests import fingerprint
from proml_kedro.marketplace.entry import Entry, FeatureUsage, list_features
from proml_kedro.marketplace.index import FORMAT, Market
from proml_kedro.project import Declared, Project
from proml_kedro.results import Importance, Places, TrainingSetFacts, UnreadableError
from proml_kedro.results.names import MANIFEST
from proml_kedro.source_code import code_fingerprint
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.inputs import input_types, is_entity, matching

T = TypeVar("T")

_FACTS = {"training_set": TrainingSetFacts.FILE, "evaluation": Importance.FILE, "bundle": MANIFEST}
"""Results that say something of features, and the file that says it."""


def open_market(project: Project) -> tuple[Market, list[str]]:
    """Open the index for this configuration and these results; make it when there is none yet.

    Args:
        project: What the command works on.

    Returns:
        The index, and a line for each problem that had to be left out.

    Raises:
        UserError: The configuration is not sound.
    """
    folder = project.data_dir / "features"
    file = folder / f"market-{_fingerprint(project)}.sqlite"
    market = _open(file)
    if market is not None:
        return market, []
    problems, notices = project.problems()
    inputs = project.model_inputs()
    results = _ResultFacts(project.places)
    entries = [entry for one in problems for entry in _entries(one, inputs, results)]
    try:
        market = Market.build(file, entries)
    except (OSError, OperationalError):  # a folder or disk that cannot be written to keeps nobody from reading
        with TemporaryDirectory() as passing:
            market = Market.build(Path(passing) / file.name, entries)
            market.warm()  # SQLite opens the file with the first query, and keeps it when it is gone
        return market, [*notices, *results.unreadable]
    notices = [*notices, *results.unreadable]
    for old in folder.glob("market-*.sqlite"):
        if old != file:
            old.unlink(missing_ok=True)
    if notices:  # they are to be said the next time too
        file.unlink()
    return market, notices


def _open(file: Path) -> Market | None:
    """Open an index; None where there is none, or a damaged one, which is made anew."""
    try:
        return Market(file) if file.is_file() and len(Market(file)) else None
    except DatabaseError:
        return None


def _fingerprint(project: Project) -> str:
    """Return a digest of all that the index is made from."""
    return fingerprint(
        {
            "format": FORMAT,
            "code": code_fingerprint("marketplace", "project", remember=project.data_dir / "features" / "imports.json"),
            "files": {str(file): file.read_text(encoding="utf-8", errors="replace") for file in project.files()},
            "overrides": project.overrides,
            "env": project.env,
            # A result is a link to a folder that never changes.
            "results": [
                str(one.resolve()) for name, file in _FACTS.items() for one in project.places.files(name, file)
            ],
        }
    )


def _entries(declared: Declared, inputs: dict[str, list[str]], results: _ResultFacts) -> Iterator[Entry]:
    types = input_types(declared.problem, declared.features)
    usage = FeatureUsage(
        models={model: reads for model, patterns in inputs.items() if (reads := _reads(patterns, types))},
        **results.facts(declared.problem.name),
    )
    return list_features(declared.problem, declared.features, usage, declared.where)


def _reads(patterns: list[str], types: Mapping[str, Dtype]) -> list[str]:
    """Return the features that a model reads, beside keys; none when it was written for another problem."""
    matches = [list(matching(pattern, types)) for pattern in patterns]
    return sorted({name for found in matches for name in found if not is_entity(name)}) if all(matches) else []


class _ResultFacts:
    """Facts of results about features; a file that cannot be read is omitted and named.

    Args:
        places: Where results lie.

    Attributes:
        unreadable: A line for each file that cannot be read.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self.unreadable: list[str] = []

    def facts(self, problem: str) -> dict[str, Any]:
        """Return bundles, shares of missing values, and importances, as :class:`FeatureUsage` takes them."""
        sets = self._read(problem, "training_set", TrainingSetFacts.read)
        importances = self._read(problem, "evaluation", Importance.read)
        return {
            "bundles": {
                one.tag: [field.name for field in one.inputs]
                for one in self._read(problem, "bundle", BundleOutline.read)
            },
            "null_share": _largest(map(_known_shares, sets)),
            "importance": _largest(one.shares for one in importances),
        }

    def _read(self, problem: str, name: str, read: Callable[[Path], T]) -> list[T]:
        found = []
        for file in self._places.files(name, _FACTS[name], problem):
            try:
                found.append(read(file.parent))
            except UnreadableError:
                self.unreadable.append(f"{file} cannot be read, and is left out: `kedro run reuse=false` makes it anew")
        return found


def _known_shares(facts: TrainingSetFacts) -> dict[str, float]:
    return {name: share for name, share in facts.null_share.items() if share is not None}


def _largest(files: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the largest value that any of the files has for each feature."""
    largest: dict[str, float] = {}
    for file in files:
        for name, value in file.items():
            largest[name] = max(value, largest.get(name, value))
    return largest
