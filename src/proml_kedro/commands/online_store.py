"""What the online store holds: of one entity for `kedro features get`, beside the offline store for `check`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.project import Project
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.features import FeatureViewSpec

if TYPE_CHECKING:
    from feast import FeatureStore

    from proml_kedro.features.online.lookup import OnlineValue
    from proml_kedro.features.online.push import Pushed
    from proml_kedro.features.online.store import Rows


def parse_moment(text: str | None) -> datetime:
    """The moment that is meant; without a time zone it is UTC, and now when nothing is said.

    Raises:
        UserError: It is no moment.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"cannot read '{text}'; write it like 2013-12-31T20:00Z"
        raise UserError(Mistake("", message, "option --at")) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def split_words(words: Sequence[str], keys: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Keys of an entity, and overrides of the configuration.

    Args:
        words: KEY=VALUE, as written; an override has a dot, @ or / in its key, starts with + or ~, or names a setting
            or group of ``conf``.
        keys: KEY=VALUE of keys that would be taken for overrides.

    Raises:
        UserError: A word is no KEY=VALUE.
    """
    from proml_kedro.spec import RunSpec

    settings = {*RunSpec.model_fields, "env", "experiment", "catalog"}
    entity: dict[str, str] = {}
    overrides, mistakes = [], []
    for word in (*words, *keys):
        name, equals, value = word.partition("=")
        if word not in keys and (name in settings or set(name) & set("./@+~")):
            overrides.append(word)
        elif not equals:
            mistakes.append(Mistake("", f"'{word}' is no KEY=VALUE; a key is written origin=JFK"))
        else:
            entity[name] = value
    if mistakes:
        raise UserError(*mistakes)
    return entity, overrides


def read_entity(
    project: Project, entity: Mapping[str, str], as_of: datetime, patterns: Sequence[str]
) -> dict[str, OnlineValue]:
    """The features whose keys are given.

    Args:
        project: What the command works on.
        entity: The keys.
        as_of: The moment.
        patterns: Which features, with ``*`` for any text.

    Raises:
        UserError: An unknown key or feature, a key that misses others, no store, or one that lacks a view.
    """
    run = project.spec
    stored = {name: one for name, one in run.features.columns().items() if _view(project, name).is_stored}
    chosen = {name: stored[name] for name in run.features.select(list(patterns)) if name in stored}
    _check(project, entity, patterns, stored)
    readable = {name: one for name, one in chosen.items() if set(_view(project, name).key) <= set(entity)}
    if not readable:
        wanted = sorted({",".join(_view(project, name).key) for name in chosen})
        raise UserError(
            Mistake("", f"no feature is kept by {', '.join(entity) or 'no key'}; give {' or '.join(wanted)}")
        )
    return _look(project, entity, as_of, readable)


def _view(project: Project, feature: str) -> FeatureViewSpec:
    return project.spec.features.views[feature.partition(".")[0]]


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
    """Online values beside offline ones, as of the moment each view was materialized for.

    Args:
        project: What the command works on.
        rows: How many keys of each view.
        tolerance: Relative difference of two numbers that counts as none.

    Raises:
        UserError: There is no online store, or nothing in it.
    """
    run = project.spec
    moments = {name: until for name, (until, _) in open_rows(project).held().items() if name in run.features.views}
    if not moments:
        raise UserError(Mistake("", "the online store is empty: `kedro run --pipelines=features,materialize`"))
    from proml_kedro.features.online.consistency import as_result, check_consistency

    store = _open(project)
    tables = project.places.at("feature_tables")
    with _answering():
        columns = run.features.columns()
        found = check_consistency(store, run.features, columns, moments, tables, run.hardware, rows, tolerance)
    return as_result(found)


def compare_logged(project: Project, log: Path, rows: int, tolerance: float) -> dict[str, Any]:
    """What a service has logged beside offline values as of the logged moments.

    Args:
        project: What the command works on.
        log: The log.
        rows: How many of its last rows.
        tolerance: Relative difference of two numbers that counts as none.

    Raises:
        UserError: A line is none of such a log, or has a feature that is not declared.
    """
    from proml_kedro.features.online.consistency import as_result
    from proml_kedro.features.online.request_log import compare_log, read_log

    logged = read_log(log, rows)
    with _answering():
        return as_result(compare_log(_open(project), project.spec.features, logged, tolerance))


def push_file(project: Project, view: str, file: Path) -> Pushed:
    """Put the rows of a file into the online store.

    Args:
        project: What the command works on.
        view: Which view's rows.
        file: CSV or Parquet; ``-`` for CSV from standard input.

    Raises:
        UserError: No such view, no store, or rows that do not fit; nothing is written then.
    """
    from proml_kedro.features.online.push import push_rows

    stored = {name: one for name, one in project.spec.features.views.items() if one.is_stored}
    if view not in stored:
        raise UserError(Mistake("", unknown("stored feature view", view, stored)))
    rows = open_rows(project)
    with tempfile.TemporaryDirectory() as folder, _answering():
        if str(file) == "-":
            file = Path(folder) / "standard input.csv"
            file.write_bytes(sys.stdin.buffer.read())
        return push_rows(rows, view, stored[view], file, project.spec.hardware)


def open_rows(project: Project) -> Rows:
    """The online store.

    Raises:
        UserError: There is none yet, or it cannot be reached.
    """
    from proml_kedro.features.online.open import online_place, rows_at

    run = project.spec
    rows = rows_at(online_place(run.online_store, run.problem.name, project.data_dir), run.problem.name)
    if not rows.is_there():
        raise UserError(Mistake("", "there is no online store yet: `kedro run` fills it"))
    return rows


def _open(project: Project) -> FeatureStore:
    from proml_kedro.features.feast.repository import open_repository

    run = project.spec
    return open_repository(run.problem, run.features, project.data_dir, run.hardware, run.online_store)


@contextmanager
def _answering() -> Iterator[None]:
    """What a store that is behind the configuration answers, as one line."""
    from proml_kedro.features.online.store import NotStoredError

    try:
        yield
    except Exception as error:
        # Feast's own error is known by its name: to import it takes seconds, and looking up does without Feast.
        if not isinstance(error, NotStoredError) and type(error).__name__ != "FeatureViewNotFoundException":
            raise
        message = "the online store lacks some of these features: `kedro run --pipelines=features,materialize`"
        raise UserError(Mistake("", message)) from error


def _look(
    project: Project, entity: Mapping[str, str], as_of: datetime, columns: Mapping[str, Dtype]
) -> dict[str, OnlineValue]:
    from proml_kedro.features.online.lookup import OnlineFeatures

    rows = open_rows(project)
    try:
        with _answering():
            return OnlineFeatures(rows, project.spec.features, columns).look(entity, as_of)
    except ValueError as error:
        raise UserError(Mistake("", str(error))) from error
