"""Source tables: files, queries and generated data, read into Parquet with derived columns."""

__all__ = ["csv", "declared", "files", "given", "keys", "read", "readers", "statistics", "stored"]
