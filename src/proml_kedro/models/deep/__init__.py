"""``kind: deep``: Keras networks declared as features, a graph of blocks, and heads.

TensorFlow takes seconds to import: only functions that build, train or score a network do so.
"""

__all__ = [
    "blocks",
    "build",
    "check_graph",
    "describe",
    "devices",
    "diagram",
    "graph",
    "heads",
    "layout",
    "metrics",
    "preprocess",
    "spec",
    "statistics",
]
