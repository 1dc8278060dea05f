"""The configuration as checked, frozen objects: one module a file of ``conf``, a field for every YAML key."""

from proml_kedro.spec.base import Spec
from proml_kedro.spec.evaluation import EvaluationSpec
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import ComponentSpec, ModelSpec
from proml_kedro.spec.monitoring import MonitoringSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.run import RunSpec
from proml_kedro.spec.serving import ChallengerSpec, PlaceSpec, PredictionLogSpec, ServingSpec, check_places

__all__ = [
    "ChallengerSpec",
    "ComponentSpec",
    "EvaluationSpec",
    "FeatureViewSpec",
    "FeaturesSpec",
    "HardwareSpec",
    "ModelSpec",
    "MonitoringSpec",
    "PlaceSpec",
    "PredictionLogSpec",
    "ProblemSpec",
    "RunSpec",
    "ServingSpec",
    "Spec",
    "alerts",
    "anomalies",
    "base",
    "check_places",
    "credentials",
    "dtype",
    "evaluation",
    "expression",
    "expression_types",
    "feature_kinds",
    "feature_ref",
    "features",
    "generator",
    "hardware",
    "inputs",
    "model",
    "model_health",
    "moments",
    "monitoring",
    "on_demand",
    "order",
    "outputs",
    "problem",
    "rank",
    "run",
    "scoring",
    "search",
    "split",
    "table",
    "training_set",
]
