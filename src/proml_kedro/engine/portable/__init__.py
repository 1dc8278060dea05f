"""SQL that DuckDB, Sail and Spark compute alike: expressions of users, and the words of our own queries."""

__all__ = ["expressions", "functions", "values"]
