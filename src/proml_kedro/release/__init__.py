"""What is live: versions of models, how they compare, and which features they read."""

__all__ = ["aligned", "changes", "compare", "log", "promotion", "registry", "scored", "used_features"]
