"""Components, and the graph that a model makes of them."""

__all__ = ["columns", "component", "deep", "examples", "graph", "mixed"]
