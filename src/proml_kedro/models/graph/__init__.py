"""Model graph: components in order, each reading features and the outputs of others.

``plan`` says in which order components come and what each reads, ``fit`` fits them, ``fitted_step`` is one that is
fitted, ``score`` runs the plan.
"""

from proml_kedro.models.graph.graph import ModelGraph

__all__ = ["ModelGraph", "fitted_step", "graph", "plan", "score"]
