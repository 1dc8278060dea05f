"""Whether current data is still like the reference: verdict, report, exit code."""

from __future__ import annotations

from kedro.pipeline import Pipeline


def create_pipeline() -> Pipeline:
    """Compare current data with the reference."""
    return Pipeline([])
