"""The online store for `kedro features`: one entity for `get`, fresh rows for `push`, both stores for `check`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.project import Project
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeatureViewSpec

if TYPE_CHECKING:
    from proml_kedro.features.online.lookup import OnlineValue
    from proml_kedro.features.online.push import PushResult
    from proml_kedro.features.online.store import OnlineStore
    from proml_kedro.features.training.join import FeatureHistory


def read_entity(
    project: Project, entity: Mapping[str, str], as_of: datetime, patterns: Sequence[str]
) -> dict[str, OnlineValue]:
    """Read the features whose keys are given.

    Args:
        project: The project.
        entity: The keys.
        as_of: The moment.
        patterns: Which features, with ``*`` for any text.

    Raises:
        UserError: An unknown key or feature, a key that misses others, no store, or one that lacks a view.
    """
    spec = project.spec
    stored = {name: one for name, one in spec.features.columns().items() if _view(project, name).is_stored}
    chosen = {name: stored[name] for name in spec.features.select(list(patterns)) if name in stored}
    _check(project, entity, patterns, stored)
    readable = {name: one for name, one in chosen.items() if set(_view(project, name).key) <= set(entity)}
    if not readable:
        wanted = sorted({",".join(_view(project, name).key) for name in chosen})
        raise UserError(
            Mistake("", f"no feature is kept by {', '.join(entity) or 'no key'}; give {' or '.join(wanted)}")
        )
    return _read(project, entity, as_of, readable)


def _view(project: Project, feature: str) -> FeatureViewSpec:
    return project.spec.features.views[FeatureRef.parse(feature).view]


def _check(project: Project, entity: Mapping[str, str], patterns: Sequence[str], stored: Mapping[str, object]) -> None:
    from fnmatch import fnmatchcase

    known = project.spec.problem.examples.entities
    mistakes = [Mistake("", unknown("entity", name, known)) for name in entity if name not in known]
    mistakes += [
        Mistake("", unknown("stored feature", pattern, stored), "option --features")
        for pattern in patterns
        if not any(fnmatchcase(name, pattern) for name in stored)
    ]
    if mistakes:
        raise UserError(*mistakes)


def compare_values(project: Project, rows: int, tolerance: float) -> dict[str, Any]:
    """Compare online values with offline ones, as of the moment each view was materialized for.

    Args:
        project: The project.
        rows: How many keys of each view.
        tolerance: Relative difference of two numbers that counts as none.

    Raises:
        UserError: There is no online store, or nothing in it.
    """
    spec = project.spec
    online = open_online_store(project)
    moments = {name: until for name, (until, _) in online.watermarks().items() if name in spec.features.views}
    if not moments:
        raise UserError(Mistake("", "the online store is empty: `kedro run --pipelines=features,materialize`"))
    from proml_kedro.features.online.consistency import FeatureSources, check_consistency
    from proml_kedro.results import Consistency

    tables = _feature_tables(project)
    sources = FeatureSources(spec.features, _open_history(project, tables), online)
    with _stored():
        columns = spec.features.columns()
        found = check_consistency(sources, columns, moments, tables, spec.hardware, rows, tolerance)
    return Consistency.summing(found).as_dict()


def compare_logged(project: Project, log: Path, rows: int, tolerance: float) -> dict[str, Any]:
    """Compare what a service has logged with offline values as of the logged moments.

    Args:
        project: The project.
        log: The log.
        rows: How many of its last rows.
        tolerance: Relative difference of two numbers that counts as none.

    Raises:
        UserError: A line does not belong into a request log, or has a feature that is not declared.
    """
    from proml_kedro.features.online.request_log import compare_log, read_log
    from proml_kedro.results import Consistency

    logged = read_log(log, rows)
    with _stored():
        compared = compare_log(
            _open_history(project, _feature_tables(project)), project.spec.features, logged, tolerance
        )
    return Consistency.summing(compared).as_dict()


def push_file(project: Project, view: str, file: Path) -> PushResult:
    """Put the rows of a file into the online store.

    Args:
        project: The project.
        view: Which view's rows.
        file: CSV or Parquet; ``-`` for CSV from standard input.

    Raises:
        UserError: No such view, no store, or rows that do not fit; nothing is written then.
    """
    from proml_kedro.features.online.push import push_rows

    stored = {name: one for name, one in project.spec.features.views.items() if one.is_stored}
    if view not in stored:
        raise UserError(Mistake("", unknown("stored feature view", view, stored)))
    store = open_online_store(project)
    with tempfile.TemporaryDirectory() as folder, _stored():
        if str(file) == "-":
            file = Path(folder) / "standard input.csv"
            file.write_bytes(sys.stdin.buffer.read())
        with _no_run_between(project):
            return push_rows(store, view, stored[view], file, project.spec.hardware)


@contextmanager
def _no_run_between(project: Project) -> Iterator[None]:
    """Wait for a run that fills the store or compares it, so that what it says is true of one state of the store.

    Where nothing can be written no run of this folder is.
    """
    from proml_kedro.workflow.steps.register import feature_store_lock

    if not os.access(project.data_dir / "feature_store", os.W_OK):
        yield
        return
    with feature_store_lock(project.as_run()):
        yield


def open_online_store(project: Project) -> OnlineStore:
    """Open the online store.

    Raises:
        UserError: There is none yet, or it cannot be reached.
    """
    from proml_kedro.features.online.open import open_store, store_place

    spec = project.spec
    store = open_store(store_place(spec.online_store, spec.problem.name, project.data_dir), spec.problem.name)
    if not store.exists():
        raise UserError(
            Mistake("", "there is no online store yet: `kedro run --pipelines=features,materialize` fills it")
        )
    return store


def _feature_tables(project: Project) -> Path:
    """Return the feature tables of the project's configuration, or the newest where there are none of it."""
    from proml_kedro.workflow.recipes import feature_tables

    found = project.store().find(feature_tables(project.spec))
    return found.path if found else project.places.at("feature_tables").resolve()


def _open_history(project: Project, tables: Path) -> FeatureHistory:
    from proml_kedro.features.feast.history import TablesHistory

    spec = project.spec
    return TablesHistory(spec.problem, spec.features, tables, project.data_dir, spec.hardware)


@contextmanager
def _stored() -> Iterator[None]:
    """Turn the error of a store that is behind the configuration into one line."""
    from proml_kedro.features.online.store import NotStoredError

    try:
        yield
    except NotStoredError as error:
        message = "the online store lacks some of these features: `kedro run --pipelines=features,materialize`"
        raise UserError(Mistake("", message)) from error


def _read(
    project: Project, entity: Mapping[str, str], as_of: datetime, columns: Mapping[str, Dtype]
) -> dict[str, OnlineValue]:
    from proml_kedro.features.online.lookup import OnlineFeatures

    store = open_online_store(project)
    try:
        with _stored():
            return OnlineFeatures(store, project.spec.features, columns).look(entity, as_of)
    except ValueError as error:
        raise UserError(Mistake("", str(error))) from error
