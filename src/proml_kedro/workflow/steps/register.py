"""Features in Feast's registry, which all models of a problem share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from proml_kedro.artifacts import Artifact
from proml_kedro.atomic import cannot_write, lock_beside, point
from proml_kedro.locks import take
from proml_kedro.stamps import Stamp
from proml_kedro.workflow.run import Run

logger = logging.getLogger(__name__)


def register_features(run: Run, feature_tables: Artifact) -> None:
    """Register the features, and those that the model reads, with Feast, unless that was done last.

    The registry holds the place of the newest feature tables, which leads to those of this run from now on.
    """
    tables = run.places.at("feature_tables")
    tables.parent.mkdir(parents=True, exist_ok=True)
    point(tables, feature_tables.path)
    spec, folder = run.spec, run.store.data_dir / "feature_store"
    stamp = Stamp(folder / spec.problem.name / "registered", place=folder / "registry.db")
    registered = {
        "features": spec.features,
        "columns": run.columns,
        "service": run.service_name,
        "place": str(tables.parent.resolve() / tables.name),  # the registry holds absolute paths
        "online_store": spec.online_store,
    }
    if stamp.matches(registered):
        return
    with _locked(folder / "registry.db"):
        stamp.remove()
        _register(run, tables)
        stamp.write(registered)


def _register(run: Run, tables: Path) -> None:
    from proml_kedro.features.feast.repository import open_repository, register

    spec = run.spec
    repository = open_repository(spec.problem, spec.features, run.store.data_dir, spec.hardware, spec.online_store)
    register(repository, spec.problem, spec.features, run.service_name, run.columns, tables)


@contextmanager
def _locked(registry: Path) -> Iterator[None]:
    """Let one thread or process at a time change the registry: Feast reads it, and writes it back whole."""
    with cannot_write(registry):
        registry.parent.mkdir(parents=True, exist_ok=True)
        waiting = partial(logger.info, "another run is registering its features; waiting for that one")
        lock = take(lock_beside(registry), waiting)
    try:
        yield
    finally:
        if lock:
            lock.release()
