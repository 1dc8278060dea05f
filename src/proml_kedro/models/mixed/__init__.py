"""``kind: mixed``: generalized linear mixed models (GLMix)."""

__all__ = ["component", "effects"]
