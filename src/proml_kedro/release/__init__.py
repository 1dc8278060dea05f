"""What is live: which bundles there are, and which features they read."""

__all__ = ["aligned", "compare", "scored", "used_features"]
