"""Tables → feature tables → registry → training set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from shutil import copy2, copytree
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.errors import UserError
from proml_kedro.results import TablesFacts
from proml_kedro.results.names import table_file
from proml_kedro.spec.generator import TRUTH, GeneratorSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import TRAINING_SET
from proml_kedro.workflow.run import Run
from proml_kedro.workflow.steps.register import register_features

if TYPE_CHECKING:
    from proml_kedro.features.training.join import FeatureHistory

logger = logging.getLogger(__name__)

_TRIES = 3
"""How often sources that change while they are read are read."""


class _ChangedError(Exception):
    """Sources changed while they were read; ``str()`` of the error names their tables."""


def ingest_tables(run: Run) -> Artifact:
    """Read every source table into Parquet, with the columns derived from it; first generate what is generated.

    A source that changes while it is read is read again.

    Raises:
        UserError: It changes each time.
    """
    from proml_kedro.features.tables.files import remembering

    problem = run.spec.problem
    generated = _generate(run, problem.generator) if problem.generator else None
    located = _locate(problem, generated)
    changed = ""
    for _ in range(_TRIES):
        with remembering(run.store.data_dir / "store" / "sources.json"):
            try:
                return _ingest(run, located, generated)
            except _ChangedError as error:
                changed = str(error)
                logger.warning("%s changed while it was read; it is read again", changed)
    message = f"{changed} changed each time it was read; run again when nobody writes it any more"
    raise UserError.at("problem.tables", message)


def _ingest(run: Run, problem: ProblemSpec, generated: Artifact | None) -> Artifact:
    """Read the tables of a problem whose sources are located.

    Raises:
        _ChangedError: A source is not what it was before it was read.
    """
    from proml_kedro.features.tables.read import read_tables
    from proml_kedro.features.tables.undecided import refuse_undecided

    sources = _fingerprints(problem, run)

    def write(folder: Path) -> None:
        try:
            read_tables(problem, run.spec.features, run.base_path, run.spec.hardware, folder, run.credentials)
        except UserError:
            _refuse_changed(sources, _fingerprints(problem, run))  # half a file is no mistake of the user
            raise
        _refuse_changed(sources, _fingerprints(problem, run))
        if generated:
            copytree(generated.file(TRUTH), folder / TRUTH, copy_function=_link)

    inputs = {"sources": sources, "generated": generated}
    tables = run.store.build(recipes.tables(run.spec), inputs, write, code=("features.tables", "==duckdb"))
    run.store.verify(tables, TablesFacts.FILE)
    refuse_undecided(run.spec.problem, run.spec.features, tables.path)
    return tables


def _refuse_changed(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [f"'{name}'" for name in before if before[name] != after[name]]
    if changed:
        raise _ChangedError(f"the source of {', '.join(changed)}")


def _generate(run: Run, generator: GeneratorSpec) -> Artifact:
    """Generate the data of a problem, unless that was done."""

    def write(folder: Path) -> None:
        from proml_kedro.generators import generate

        generate(generator, folder)

    return run.store.build("generated", {"generator": generator}, write, code=("generators", "==numpy"))


def _locate(problem: ProblemSpec, generated: Artifact | None) -> ProblemSpec:
    """The problem with the files of generated tables as their sources."""
    if generated is None:
        return problem
    files = {name: table_file(generated.path, one).resolve() for name, one in problem.generated().items()}
    return problem.with_sources({name: str(file) for name, file in files.items()})


def _fingerprints(problem: ProblemSpec, run: Run) -> dict[str, str]:
    """Fingerprint of each source, by table."""
    from proml_kedro.features.tables.read import source_fingerprint

    sources = {name: table for name, table in problem.tables.items() if table.source}
    return {name: source_fingerprint(name, table, run.base_path, run.credentials) for name, table in sources.items()}


def _link(source: str, target: str) -> None:
    """Give a file a second name where that can be done, and copy it elsewhere."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        copy2(source, target)


def compute_features(run: Run, tables: Artifact) -> Artifact:
    """Compute the values of every feature view, with the time from which each is known.

    Raises:
        UserError: A feature that a live bundle looks up is not declared any more.
    """
    from proml_kedro.features.views.compute import compute_views
    from proml_kedro.release.used_features import refuse_removal

    spec = run.spec
    refuse_removal(spec.problem, spec.features, run.places, spec.remove_used_features)
    return run.store.build(
        recipes.feature_tables(spec),
        {"tables": tables},
        lambda folder: compute_views(spec.problem, spec.features, tables.path, spec.hardware, folder),
        code=("features.views", "==duckdb"),
    )


def build_training_set(run: Run, tables: Artifact, feature_tables: Artifact) -> Artifact:
    """Join to each example what was known when it was to be predicted, and register the features with Feast."""
    training_set = join_training_set(run, tables, feature_tables)
    register_features(run, feature_tables)
    return training_set


def _history(run: Run, feature_tables: Path) -> FeatureHistory:
    """What joins features in time: the engine of the hardware, or DuckDB."""
    spec = run.spec
    if spec.hardware.engine is not None:
        from proml_kedro.features.training.on_engine import EngineHistory

        return EngineHistory(spec.features, feature_tables, spec.hardware)
    from proml_kedro.features.feast.history import TablesHistory

    return TablesHistory(spec.problem, spec.features, feature_tables, run.store.data_dir, spec.hardware)


def join_training_set(run: Run, tables: Artifact, feature_tables: Artifact) -> Artifact:
    """Join to each example what was known when it was to be predicted; nothing is registered."""
    spec, columns = run.spec, run.columns

    def write(folder: Path) -> None:
        from proml_kedro.features.training.training_set import build_training_set as build

        history = _history(run, feature_tables.path)
        build(spec.problem, spec.features, columns, tables.path, history, spec.hardware, folder)

    return run.store.build(
        recipes.training_set(spec),
        {"tables": tables, "feature_tables": feature_tables},
        write,
        code=TRAINING_SET,
    )
