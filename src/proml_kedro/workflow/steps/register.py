"""Features in Feast's registry, which all models of a problem share."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

from proml_kedro.artifacts import Artifact
from proml_kedro.atomic import cannot_write, disk_full, lock_beside, temporary_beside
from proml_kedro.locks import take
from proml_kedro.stamps import Stamp
from proml_kedro.workflow.run import Run

logger = logging.getLogger(__name__)


def register_features(run: Run, feature_tables: Artifact) -> None:
    """Register the features, and those that the model reads, with Feast, unless that was done last.

    The registry is for people and for Feast's own commands; no run reads from it what it computes with.
    """
    with feature_store_lock(run):
        if not _Registered(run, feature_tables).is_current():
            with registering(run, feature_tables):
                pass


@contextmanager
def feature_store_lock(run: Run) -> Iterator[None]:
    """Let one thread or process at a time change the registry, and fill online stores, of a data folder."""
    registry = _registry(run)
    with cannot_write(registry):
        registry.parent.mkdir(parents=True, exist_ok=True)
        waiting = partial(logger.info, "another run registers or materializes its features; waiting for that one")
        lock = take(lock_beside(registry), waiting)
    try:
        yield
    finally:
        if lock:
            lock.release()


def is_registry_altered(run: Run) -> bool:
    """Tell whether the registry is there, and is not what a run has written."""
    registry = _registry(run)
    return registry.exists() and not _written(registry).matches(_content(registry))


def remove_registry(run: Run) -> None:
    """Remove the registry: the next run of each problem registers its features anew."""
    with feature_store_lock(run):
        registry = _registry(run)
        _written(registry).remove()
        registry.unlink(missing_ok=True)


def _written(registry: Path) -> Stamp:
    return Stamp(registry.parent / "registry.written", place=registry)


def _content(registry: Path) -> dict[str, str]:
    return {"sha256": hashlib.sha256(registry.read_bytes()).hexdigest()}


@contextmanager
def registering(run: Run, feature_tables: Artifact) -> Iterator[Any]:
    """Open a repository of Feast in which the run's features are registered, and nobody else's change meanwhile.

    It is a copy: when the block ends it takes the place of the registry at once, so that a kill or a full disk leaves
    the old one. The caller holds :func:`feature_store_lock`.
    """
    from proml_kedro.features.feast.repository import is_registry, open_repository, register

    spec, registry, noted = run.spec, _registry(run), _Registered(run, feature_tables)
    copy = temporary_beside(registry)
    try:
        with disk_full(registry):
            if registry.exists():
                copyfile(registry, copy)
                if not is_registry(copy):
                    logger.warning("%s is damaged; it is made anew, for other problems by their next runs", registry)
                    copy.unlink()
            repository = open_repository(
                spec.problem, spec.features, run.store.data_dir, spec.hardware, spec.online_store, copy
            )
            register(repository, spec.problem, spec.features, run.service_name, run.columns, feature_tables.path)
            yield repository
            noted.forget()
            copy.replace(registry)
            noted.write()
    finally:
        copy.unlink(missing_ok=True)


def _registry(run: Run) -> Path:
    return run.store.data_dir / "feature_store" / "registry.db"


class _Registered:
    """Note of what a problem has registered last, and of what the registry held when a run had written it.

    Args:
        run: The run.
        feature_tables: Its feature tables.
    """

    def __init__(self, run: Run, feature_tables: Artifact) -> None:
        self._registry = _registry(run)
        folder = self._registry.parent
        self._written = _written(self._registry)
        self._stamp = Stamp(folder / run.spec.problem.name / "registered", place=self._registry)
        self._inputs = {
            "features": run.spec.features,
            "columns": run.columns,
            "service": run.service_name,
            "tables": str(feature_tables.path.resolve()),  # the registry holds absolute paths
            "online_store": run.spec.online_store,
        }

    def is_current(self) -> bool:
        """Tell whether this was registered last, and the registry is what a run has written."""
        return self._stamp.matches(self._inputs) and self._written.matches(_content(self._registry))

    def forget(self) -> None:
        """Forget it, before the registry is replaced."""
        self._stamp.remove()

    def write(self) -> None:
        """Write what was registered."""
        self._written.write(_content(self._registry))
        self._stamp.write(self._inputs)
