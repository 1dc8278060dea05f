"""Features that deserve a second look: undocumented, unused, dead, leaky, or not of the type they are declared as."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from proml_kedro.engine.duckdb import enclosed, quote, sql_type
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.leaks import declared_leaks, measured_leaks
from proml_kedro.marketplace.entry import REQUEST, Entry
from proml_kedro.models.progress import progress
from proml_kedro.results import Places, TrainingSetFacts
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import FILE


@dataclass(frozen=True)
class FeatureFinding:
    """Finding about a declared feature.

    Attributes:
        level: ``error`` for what cannot be of use as it is.
        place: File and line.
        feature: ``view.feature``.
    """

    level: Literal["error", "warning"]
    place: str
    feature: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.level}: {self.feature}: {self.message}"


def validate(
    entries: Iterable[Entry],
    places: Places,
    hardware: HardwareSpec,
    problems: Iterable[tuple[ProblemSpec, FeaturesSpec]] = (),
) -> list[FeatureFinding]:
    """Check every feature, in the order of their declaration.

    What is declared is always looked at. What the data say is looked at where a run has left tables: values that are
    all missing, that never change, that lose their fractions in the declared type, or that predict the label alone.

    Args:
        entries: The features.
        places: Where results lie.
        hardware: The machine.
        problems: The problems that they belong to, to look for what only the label may know.
    """
    ordered = sorted(entries, key=lambda one: (one.problem, one.view))
    findings = [finding for one in ordered for finding in _declared(one)]
    with connect(hardware) as session:
        for (problem, view), group in groupby(ordered, key=lambda one: (one.problem, one.view)):
            features = [one for one in group if one.entity != REQUEST]
            views = Tables(session, places.at("feature_tables", problem))
            if features and view in views:
                findings += _in_table(features, views.relation(view))
                findings += _in_source(features, Tables(session, places.at("tables", problem)))
    findings += [found for problem, features in problems for found in _leaking(problem, features, ordered)]
    findings += _leaking_in_data(ordered, places, hardware)
    return sorted(dict.fromkeys(findings), key=lambda one: (_line(one.place), one.feature, one.message))


def _line(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return (file, int(line)) if line.isdigit() else (place, 0)


def _declared(entry: Entry) -> Iterator[FeatureFinding]:
    if not entry.description:
        yield FeatureFinding("warning", entry.place, entry.name, "has no description")
    if not entry.models and not entry.bundles:
        yield FeatureFinding("warning", entry.place, entry.name, "no model reads it")
    if entry.null_share == 1.0:
        yield FeatureFinding("error", entry.place, entry.name, "missing in every example")


def _in_table(entries: Sequence[Entry], relation: Relation) -> Iterator[FeatureFinding]:
    """Check the columns of a view's feature table."""
    there = []
    for entry in entries:
        column = entry.ref.feature
        stored = relation.type_of(column)
        declared = sql_type(entry.dtype)
        if stored in (declared, re.sub(r"\d+(?=\])", "", declared)):  # Parquet has lists, but no fixed size
            there.append((entry, column))
        else:
            what = "lacks it" if stored is None else f"holds {stored}, not {declared}"
            message = f"the feature table {what}: `kedro run --pipelines=features`"
            yield FeatureFinding("error", entry.place, entry.name, message)
    if not there:
        return
    sums = ", ".join(f"count({quote(one)}), min({quote(one)}) = max({quote(one)})" for _, one in there)
    row = relation.engine.row(f"SELECT count(*), {sums} FROM {relation}")
    for position, (entry, _) in enumerate(there):
        present, constant = row[1 + 2 * position : 3 + 2 * position]
        if not present:
            yield FeatureFinding("error", entry.place, entry.name, "has no value in any row")
        elif constant and row[0] > 1:
            rest = "" if present == row[0] else ", where it has one"
            yield FeatureFinding("warning", entry.place, entry.name, f"has the same value in every row{rest}")


def _in_source(entries: Sequence[Entry], tables: Tables) -> Iterator[FeatureFinding]:
    """Find values whose fractions are lost by the declared type."""
    for entry in entries:
        if entry.dtype != "int" or entry.aggregate or entry.table not in tables:
            continue
        value = f"TRY_CAST({enclosed(entry.expression or quote(entry.ref.feature))} AS DOUBLE)"
        relation = tables.relation(entry.table)
        query = f"SELECT count(*) FILTER (WHERE {value} <> trunc({value})), count({value}) FROM {relation}"
        lost, present = _counts(relation, query)
        if lost:
            message = f"declared int, but {lost / present:.1%} of the values in '{entry.table}' have fractions"
            yield FeatureFinding("error", entry.place, entry.name, message)


def _leaking(problem: ProblemSpec, features: FeaturesSpec, entries: Sequence[Entry]) -> Iterator[FeatureFinding]:
    """Find features that are computed from what the label is computed from."""
    for name, message in declared_leaks(problem, features):
        ref = FeatureRef.parse(name)
        columns = {str(FeatureRef(ref.view, one)) for one in features.views[ref.view].columns_of(ref.feature)}
        for entry in entries:
            if entry.problem == problem.name and entry.name in columns:
                yield FeatureFinding("error", entry.place, entry.name, message)


def _leaking_in_data(entries: Sequence[Entry], places: Places, hardware: HardwareSpec) -> Iterator[FeatureFinding]:
    """Find features that predict the label of a training set alone."""
    by_name = {(one.problem, one.name): one for one in entries}
    for problem in dict.fromkeys(one.problem for one in entries):
        names = [name for other, name in by_name if other == problem]
        seen: set[Path] = set()
        for file in places.files("training_set", FILE, problem):
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            with progress(f"looking for leaks in {file.parent.parent.name}", len(names)) as advance:
                classes = TrainingSetFacts.read(file.parent).classes
                for name, message, certain in measured_leaks(file, names, hardware, classes, advance):
                    yield FeatureFinding("error" if certain else "warning", by_name[problem, name].place, name, message)


def _counts(relation: Relation, query: str) -> tuple[int, int]:
    try:
        row = relation.engine.row(query)
    except EngineError:  # an expression that does not work is for a run to explain, with file and line
        return 0, 0
    return int(row[0]), int(row[1])
