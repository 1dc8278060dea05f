"""Running SQL over tables: names quoted, columns described, results written."""

__all__ = ["duckdb"]
