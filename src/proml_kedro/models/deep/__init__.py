"""``kind: deep``: Keras networks declared as features, a graph of blocks, and a head.

TensorFlow takes seconds to import: only functions that build, train or score a network do so.
"""

__all__ = ["describe", "devices", "diagram", "spec"]
