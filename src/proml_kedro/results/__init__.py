"""Results on disk: the name of each, where it lies, which files it holds, and what its JSON says.

Imports neither NumPy nor any other heavy library, so that a command can look at results in no time.
"""

from proml_kedro.results.consistency import Consistency, FeatureComparison, OnlineValues
from proml_kedro.results.drift import ColumnDrift, DriftResult
from proml_kedro.results.evaluation import (
    Comparison,
    GateOutcome,
    Importance,
    MetricDifference,
    Metrics,
    RankingFacts,
    SliceFacts,
)
from proml_kedro.results.folds import FoldFacts, Folds
from proml_kedro.results.json_file import UnreadableError, read_model
from proml_kedro.results.models import FitSummary, TrainingSetFacts
from proml_kedro.results.names import NAMES, PER_MODEL
from proml_kedro.results.places import Places
from proml_kedro.results.run_record import RunRecord
from proml_kedro.results.scores import Scores
from proml_kedro.results.tables import ColumnFacts, KeyFacts, KeyForm, TablesFacts

__all__ = [
    "NAMES",
    "PER_MODEL",
    "ColumnDrift",
    "ColumnFacts",
    "Comparison",
    "Consistency",
    "DriftResult",
    "FeatureComparison",
    "FitSummary",
    "FoldFacts",
    "Folds",
    "GateOutcome",
    "Importance",
    "KeyFacts",
    "KeyForm",
    "MetricDifference",
    "Metrics",
    "OnlineValues",
    "Places",
    "RankingFacts",
    "RunRecord",
    "Scores",
    "SliceFacts",
    "TablesFacts",
    "TrainingSetFacts",
    "UnreadableError",
    "anomalies",
    "diagnosis",
    "drift",
    "evaluation",
    "health",
    "json_file",
    "live",
    "names",
    "places",
    "read_model",
    "run_record",
    "trial",
]
