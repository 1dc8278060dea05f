"""Engine for one random effect with more entities than fit into memory: rows are packed on disk once, then swept."""

__all__ = ["engine"]
