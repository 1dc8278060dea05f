"""The results of a run by their names in the catalog, and the files in their folders.

``metrics.json``, ``drift.json`` and the other files of JSON are named by the classes that read and write them.
"""

from __future__ import annotations

from pathlib import Path

from proml_kedro.spec.training_set import FILE as EXAMPLES

PER_PROBLEM = ("tables", "feature_tables", "online_values")
"""Results that all models of a problem share."""

PER_MODEL = (
    "training_set",
    "trained_model",
    "trained_baseline",
    "evaluation",
    "bundle",
    "bento",
    "drift",
    "consistency",
)
"""Results that each model of a problem has of its own."""

NAMES = (*PER_PROBLEM, *PER_MODEL)
"""Every result, as ``conf/catalog`` calls it."""

REPORTS = {"evaluation": "report.md", "bundle": "card.md", "drift": "drift.html"}
"""The file of a result that is written for people."""

MANIFEST = "proml.yaml"
"""What a bundle is."""

BUNDLE_METRICS = "metrics.json"
"""How good the model of a bundle is."""

COMPONENTS = "components"
"""The folder of a bundle that holds the model's components."""

GOLDEN = "golden.parquet"
"""Rows of a bundle with their scores."""

REFERENCE = "reference.json"
"""What a bundle remembers of the data that its model is for."""

DRIFT_SUMMARY = "drift.md"
"""A drift check's verdict as Markdown."""

DRIFT_JUNIT = "drift.xml"
"""A drift check's verdict for CI."""

REPORT_PAGE, REPORT_JSON = "report.html", "report.json"
"""An evaluation with curves, thresholds, calibration, importance and rates, for people and for programs."""

GATES_JUNIT = "gates.xml"
"""What came of the gates of an evaluation, for CI."""

DRIFT_PLOT = "drift.png"
"""Population stability index of each column."""


def table_file(folder: Path, name: str) -> Path:
    """Return the Parquet file of a table, in ``tables``, or of a feature view, in ``feature_tables``."""
    return folder / f"{name}.parquet"


def examples_file(folder: Path) -> Path:
    """Return the Parquet file of a training set's rows."""
    return folder / EXAMPLES
