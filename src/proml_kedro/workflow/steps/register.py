"""Features in Feast's registry, which all models of a problem share."""

from __future__ import annotations

from proml_kedro.artifacts import Stamp
from proml_kedro.workflow.run import Run


def register_features(run: Run) -> None:
    """Register the features, and those that the model reads, with Feast, unless that was done last."""
    spec, folder = run.spec, run.store.data_dir / "feature_store"
    stamp = Stamp(folder / spec.problem.name / "registered", place=folder / "registry.db")
    registered = {
        "features": spec.features,
        "columns": run.columns,
        "service": run.service_name,
        "place": str(run.store.data_dir.resolve()),  # the registry holds absolute paths
        "online_store": spec.online_store,
    }
    if stamp.matches(registered):
        return
    from proml_kedro.features.feast.repository import open_repository, register

    stamp.remove()
    repository = open_repository(spec.problem, spec.features, run.store.data_dir, spec.hardware, spec.online_store)
    register(repository, spec.problem, spec.features, run.service_name, run.columns)
    stamp.write(registered)
