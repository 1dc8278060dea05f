"""Declares to Feast what ``conf`` says: the same objects that a run registers."""

from pathlib import Path

from proml_kedro.config import HydraConfigLoader
from proml_kedro.features.repository import feast_objects, feature_service
from proml_kedro.pipelines.features import columns_of, service_name

project = Path(__file__).resolve().parents[1]
run = HydraConfigLoader(project / "conf").loaded.run

columns = columns_of(run.features, run.model, run.evaluation.baseline)
objects = feast_objects(run.problem, run.features, project / run.data_dir)
service = feature_service(service_name(run.problem, run.model), run.problem, objects, columns)

# Feast collects what it finds among the module's names.
globals().update({f"declared_{position}": one for position, one in enumerate([*objects, service])})
