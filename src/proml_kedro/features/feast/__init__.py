"""Feast: the registry, the offline and online store that it calls, and materialization."""

from proml_kedro.features.feast.unchecked import keep_metrics_in_memory, leave_unchecked

__all__ = ["history", "materialize", "repository"]

leave_unchecked()
keep_metrics_in_memory()
