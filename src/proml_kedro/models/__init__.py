"""Components, and the graph that a model makes of them.

``component`` is the protocol, ``columns`` and ``examples`` are what components are given, ``graph`` is a model, and
every other package is a kind of component.
"""

__all__ = [
    "columns",
    "component",
    "curve",
    "deep",
    "effects",
    "examples",
    "graph",
    "kinds",
    "likelihoods",
    "producers",
    "progress",
    "updates",
]
