"""``kind: deep``: Keras networks declared as features, a graph of blocks, and a head.

Only ``build``, ``train`` and ``component``, and the ``build`` methods of blocks, import TensorFlow, and only when called.
"""
