"""Model graph: components in order, each reading features and the outputs of others."""

__all__ = ["graph"]
