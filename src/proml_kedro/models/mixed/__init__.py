"""``kind: mixed``: generalized linear mixed models (GLMix)."""
