"""Declares to Feast what ``conf`` says: the same objects that a run registers."""

from pathlib import Path

from proml_kedro import open_project
from proml_kedro.features.feast.repository import feast_objects, feature_service, kept_services, open_repository
from proml_kedro.release.used_features import refuse_removal
from proml_kedro.workflow import Run

project = open_project(Path(__file__).parent)
run = Run.of(project.spec, project.base_path)
spec, data = run.spec, project.data_dir
refuse_removal(spec.problem, spec.features, project.places, spec.remove_used_features)

objects = feast_objects(spec.problem, spec.features, project.places.at("feature_tables"))
objects.append(feature_service(run.service_name, spec.problem, objects, run.columns))
# Feast would remove what is not declared here: the services of models that other runs have trained stay.
objects += kept_services(open_repository(spec.problem, spec.features, data, spec.hardware, spec.online_store), objects)

# Feast collects what it finds among the module's names.
globals().update({f"declared_{position}": one for position, one in enumerate(objects)})
