"""Producers: functions of a model's inputs that learn nothing, each a kind of component and a file.

What they compute with NumPy stands in :mod:`proml_kedro.column_functions`, which on-demand features share.
"""

from proml_kedro.models.producers.base import Producer

__all__ = ["Producer", "base"]
