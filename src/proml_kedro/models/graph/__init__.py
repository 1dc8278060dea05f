"""Model graph: components in order, each reading features and the outputs of others.

``plan`` says in which order components come and what each reads, ``fit`` fits them, ``score`` runs the plan.
"""

from proml_kedro.models.graph.graph import ModelGraph

__all__ = ["ModelGraph", "graph", "plan", "score"]
