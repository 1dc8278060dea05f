"""On-demand features: expressions over stored and request features, one code for training and requests."""

__all__ = ["batches", "evaluate", "plain_values"]
