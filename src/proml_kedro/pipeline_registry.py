"""The pipelines that `kedro run --pipelines=NAME` knows."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from proml_kedro.pipelines import create_pipelines


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name; `kedro run` alone runs ``__default__``."""
    return create_pipelines()
