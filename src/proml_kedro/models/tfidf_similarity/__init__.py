"""``kind: tfidf_similarity``: how much two texts say the same."""

from __future__ import annotations

from typing import Any

from proml_kedro.models.tfidf_similarity.spec import TfidfSimilaritySpec as Spec

__all__ = ["Component", "Spec", "component"]


def __getattr__(name: str) -> Any:
    """Import ``Component`` when it is asked for: the configuration is checked without its libraries."""
    if name != "Component":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from proml_kedro.models.tfidf_similarity.component import TfidfSimilarity

    return TfidfSimilarity
