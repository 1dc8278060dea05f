"""Aggregates of events over windows: what one is, and those that come with proml_kedro."""

from proml_kedro.features.views.aggregates.base import Aggregate, Event, Slot, finite, infinities, unless_infinite

__all__ = [
    "Aggregate",
    "Event",
    "Slot",
    "base",
    "count_distinct",
    "finite",
    "infinities",
    "last",
    "simple",
    "unless_infinite",
]
