"""Feature tables → online store, as of the newest example; then a check that both say the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.results import Consistency, OnlineValues
from proml_kedro.results.names import examples_file
from proml_kedro.stamps import Stamp
from proml_kedro.workflow.recipes import columns_read
from proml_kedro.workflow.run import Run
from proml_kedro.workflow.steps.register import register_features

if TYPE_CHECKING:
    from proml_kedro.features.online.store import OnlineStore


def materialize_features(run: Run, training_set: Artifact, feature_tables: Artifact) -> Artifact:
    """Put the values as of the newest example into the online store, for scoring by entity keys.

    The store changes in place. The result says what it holds: the moment of each view, and a digest of its history.
    """
    spec, online = run.spec, _open_online(run)
    place = run.store.data_dir / "feature_store" / spec.problem.name
    stamp = Stamp(place / "materialized", place=place)  # one for all models: they share the store
    inputs = {
        "training_set": training_set,
        "feature_tables": feature_tables,
        "service": run.service_name,
        "code": run.store.code_fingerprint("features.feast", "features.online"),
        "online_store": spec.online_store,
    }
    if not (online.exists() and stamp.matches(inputs) and run.store.reuse):
        register_features(run, feature_tables)  # another run may have been last
        stamp.remove()
        _materialize(run, training_set, feature_tables)
        stamp.write(inputs)
    held = {name: (one.until.isoformat(), one.history) for name, one in online.watermarks().items()}

    def write(folder: Path) -> None:
        OnlineValues.of(held).write(folder)

    return run.store.build(f"{spec.problem.name}/online_values", {"held": held}, write)


def _open_online(run: Run) -> OnlineStore:
    from proml_kedro.features.online.open import open_store, store_place

    project = run.spec.problem.name
    return open_store(store_place(run.spec.online_store, project, run.store.data_dir), project)


def _materialize(run: Run, training_set: Artifact, feature_tables: Artifact) -> None:
    from proml_kedro.features.feast.materialize import materialize_new, views_of
    from proml_kedro.features.feast.repository import open_repository
    from proml_kedro.features.training.training_set import newest_moment

    spec = run.spec
    repository = open_repository(spec.problem, spec.features, run.store.data_dir, spec.hardware, spec.online_store)
    views = views_of(repository, run.service_name)
    newest = newest_moment(examples_file(training_set.path))
    materialize_new(repository, feature_tables.path, views, newest, spec.hardware, anew=not run.store.reuse)


def check_online_values(run: Run, online_values: Artifact, feature_tables: Artifact) -> Artifact:
    """Compare what training reads with what serving reads; see ``consistency.json``."""
    spec, columns = run.spec, columns_read(run.spec, run.spec.model)

    def write(folder: Path) -> None:
        from proml_kedro.features.feast.history import FeastHistory
        from proml_kedro.features.feast.repository import open_repository
        from proml_kedro.features.online.consistency import FeatureSources, check_consistency

        repository = open_repository(spec.problem, spec.features, run.store.data_dir, spec.hardware, spec.online_store)
        sources = FeatureSources(spec.features, FeastHistory(repository), _open_online(run))
        watermarks = sources.online.watermarks()
        moments = {name: one.until for name, one in watermarks.items() if name in spec.features.views}
        compared = check_consistency(sources, columns, moments, feature_tables.path, spec.hardware)
        Consistency.summing(compared).write(folder)

    inputs = {"online_values": online_values, "feature_tables": feature_tables, "columns": columns}
    place = f"{spec.problem.name}/{spec.model.name}/consistency"
    return run.store.build(place, inputs, write, code=("features.online", "features.feast", "==duckdb", "==feast"))
