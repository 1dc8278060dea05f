"""``kind: linear``: a ridge generalized linear model."""

__all__ = ["component"]
