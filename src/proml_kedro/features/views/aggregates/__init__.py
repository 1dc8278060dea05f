"""Aggregates of events over windows: what one is, and those that come with proml_kedro."""

from proml_kedro.features.views.aggregates.base import Aggregate, Event, Slot

__all__ = ["Aggregate", "Event", "Slot", "base"]
