"""One random effect of more entities than fit into memory: rows are packed on disk once, and then swept."""

__all__ = ["engine"]
