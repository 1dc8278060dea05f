"""The steps of a run: functions of a :class:`~proml_kedro.workflow.run.Run` and of results, each giving a result.

A step that is called again with the same configuration, data and code finds its result and computes nothing.
"""

from proml_kedro.workflow.steps.evaluate import evaluate_model
from proml_kedro.workflow.steps.features import build_training_set, compute_features, ingest_tables, join_training_set
from proml_kedro.workflow.steps.materialize import check_online_values, materialize_features
from proml_kedro.workflow.steps.monitor import check_drift
from proml_kedro.workflow.steps.package import build_bento, write_bundle
from proml_kedro.workflow.steps.score import score_table
from proml_kedro.workflow.steps.train import train_baseline, train_model

__all__ = [
    "build_bento",
    "build_training_set",
    "check_drift",
    "check_online_values",
    "compute_features",
    "evaluate_model",
    "folds",
    "ingest_tables",
    "join_training_set",
    "kept_components",
    "materialize_features",
    "register",
    "score_table",
    "scored",
    "train",
    "train_baseline",
    "train_model",
    "write_bundle",
]
