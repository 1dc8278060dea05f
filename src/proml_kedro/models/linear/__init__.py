"""``kind: linear``: a ridge generalized linear model."""
