"""``kind: deep``: Keras networks declared as features, a graph of blocks, and heads.

TensorFlow takes seconds to import: only functions that build, train or score a network do so.
"""

from __future__ import annotations

from typing import Any

from proml_kedro.models.deep.spec import DeepSpec as Spec

__all__ = [
    "Component",
    "Spec",
    "blocks",
    "build",
    "check_graph",
    "describe",
    "devices",
    "diagram",
    "features_spec",
    "graph",
    "heads",
    "layout",
    "metrics",
    "preprocess",
    "spec",
    "statistics",
]


def __getattr__(name: str) -> Any:
    """Import ``Component`` when it is asked for: the configuration is checked without its libraries."""
    if name != "Component":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from proml_kedro.models.deep.component import Deep

    return Deep
