"""A table or a log of requests, compared with what a bundle remembers: without the model, and in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proml_kedro.bundle import Manifest
from proml_kedro.bundle.integrity import verify
from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.given import file_rows
from proml_kedro.health.drift import check_drift
from proml_kedro.health.profile import is_score
from proml_kedro.health.read_current import columns_of
from proml_kedro.health.reference import Reference
from proml_kedro.models.component import Columns, Input
from proml_kedro.results.drift import DriftResult
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import LABEL

MOST_ROWS = 200_000
"""Of more rows a sample is judged: it tells the shares that limits are about to a quarter of a percent."""

_LOG = ("model", "features")
"""Columns of a log of requests."""

_PREDICTIONS = ("bundle", "request_id", "status")
"""Columns of a log of predictions, beside one for each feature."""

_LOGGED = "features."
"""How the names of these begin."""


@dataclass(frozen=True)
class _Read:
    columns: Columns
    inputs: list[Input]
    notices: list[str]


def check_table(bundle: Path, current: Path) -> tuple[str, DriftResult]:
    """Compare a table, or a log of requests, with the reference of a bundle.

    Args:
        bundle: Its folder.
        current: A file that a table reader takes by its name, with columns named as the features are, and perhaps
            ``score`` and ``label``; or a log that a server has written, of requests or of
            predictions: the file, or the folder of several.

    Returns:
        The bundle's ``name:version``, and the verdict.

    Raises:
        UserError: The bundle is damaged or has no reference, or the table cannot be read or has none of its columns.
    """
    verify(bundle)
    manifest, reference = Manifest.read(bundle), Reference.read(bundle)
    key = f"option --current={current}"
    try:
        with connect(HardwareSpec(threads=1)) as session, file_rows(current, session, "") as rows:
            read = _read(rows, manifest, reference, key)
    except EngineError as error:
        raise UserError(Mistake("", f"cannot be read: {str(error).splitlines()[0]}", key)) from error
    result = check_drift(reference.profile, read.columns, read.inputs, reference.gate, reference.movements)
    return manifest.tag, replace(result, notices=(*read.notices, *result.notices))


def _read(rows: Relation, manifest: Manifest, reference: Reference, key: str) -> _Read:
    is_log = all(rows.type_of(name) is not None for name in _LOG)
    inputs, notices = reference.columns, []
    if all(rows.type_of(name) is not None for name in _PREDICTIONS):
        rows = _of_predictions(rows, manifest.tag, inputs, key)
    elif is_log:
        rows = _of_log(rows, manifest.tag, inputs, key)
        looked_up = {one.name for one in manifest.rows.inputs if not (one.request or one.is_key)}
        unlogged = [one.name for one in inputs if not is_score(one.name) and one.name not in looked_up]
        if unlogged:
            notices.append(f"{', '.join(unlogged)}: not checked, a log holds what was looked up only")
        inputs = [one for one in inputs if one.name not in unlogged]
    absent = [one.name for one in inputs if is_score(one.name) and rows.type_of(one.name) is None]
    if absent:
        notices.append(f"{', '.join(absent)}: not checked, there is no such column")
    inputs = [one for one in inputs if one.name not in absent]
    total = int(rows.engine.row(f"SELECT count(*) FROM {rows}")[0])
    if total > MOST_ROWS:
        notices.append(f"judged by a sample of {MOST_ROWS:,} of {total:,} rows")
    found = columns_of(
        rows, [*inputs, Input(LABEL, "float")], manifest.features, MOST_ROWS if total > MOST_ROWS else None
    )
    if not found.keys() & {one.name for one in inputs}:
        message = f"it has none of the model's features, such as '{reference.columns[0].name}'"
        raise UserError(Mistake("", message, key))
    return _Read(found, inputs, notices)


def _of_predictions(rows: Relation, tag: str, inputs: Sequence[Input], key: str) -> Relation:
    """Take the rows that a model has scored out of a log of predictions, features by their own names.

    Raises:
        UserError: None of them is of this model.
    """
    scored = _of_model(rows, "bundle", tag, key).select("*", "status = 200")
    names = {one.name: f"{_LOGGED}{one.name}" for one in inputs if not is_score(one.name)}
    values = [f"{quote(logged)} AS {quote(name)}" for name, logged in names.items() if rows.type_of(logged) is not None]
    kept = [quote(name) for name in (*(one.name for one in inputs if is_score(one.name)), LABEL) if rows.type_of(name)]
    return scored.select(", ".join([*values, *kept]) or "bundle")


def _of_model(rows: Relation, column: str, tag: str, key: str) -> Relation:
    """Select the rows of a model.

    Raises:
        UserError: There are none.
    """
    mine = rows.select("*", f"{column} = {literal(tag)}")
    if not mine.has_rows():
        found = rows.engine.rows(f"SELECT {column}, count(*) FROM {rows} GROUP BY {column} ORDER BY 2 DESC, 1 LIMIT 3")
        others = ", ".join(str(model) for model, _ in found) or "no model at all"
        raise UserError(Mistake("", f"it has no rows of {tag}, but of {others}", key))
    return mine


def _of_log(rows: Relation, tag: str, inputs: Sequence[Input], key: str) -> Relation:
    """Take the rows of a model out of a log, a column for each feature that some of them have.

    Raises:
        UserError: None of them is of this model.
    """
    mine = _of_model(rows, "model", tag, key)
    keys = mine.engine.rows(f"SELECT DISTINCT unnest(json_keys(CAST(features AS JSON))) FROM {mine}")
    logged = {name for (name,) in keys}
    values = [
        f"json_extract_string(features, {literal('/' + one.name)}) AS {quote(one.name)}"
        for one in inputs
        if one.name in logged
    ]
    kept = [quote(name) for name in (*(one.name for one in inputs if is_score(one.name)), LABEL) if mine.type_of(name)]
    return mine.select(", ".join([*values, *kept]) or "model")
