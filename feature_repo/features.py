"""Declares to Feast what ``conf`` says: the same objects that a run registers."""

from pathlib import Path

from proml_kedro.config import HydraConfigLoader
from proml_kedro.features.feast.repository import feast_objects, feature_service, kept_services, open_repository
from proml_kedro.pipelines.features import columns_of, service_name
from proml_kedro.release.used_features import refuse_removal

project = Path(__file__).resolve().parents[1]
loader = HydraConfigLoader(project / "conf")
run = loader.loaded.run
data = project / run.data_dir
places = loader.places(project)
refuse_removal(run.problem, run.features, places, run.remove_used_features)

columns = columns_of(run.features, run.model, run.evaluation.baseline)
objects = feast_objects(run.problem, run.features, places.at("feature_tables"))
objects.append(feature_service(service_name(run.problem, run.model), run.problem, objects, columns))
# Feast would remove what is not declared here: the services of models that other runs have trained stay.
objects += kept_services(open_repository(run.problem, run.features, data, run.hardware, run.online_store), objects)

# Feast collects what it finds among the module's names.
globals().update({f"declared_{position}": one for position, one in enumerate(objects)})
