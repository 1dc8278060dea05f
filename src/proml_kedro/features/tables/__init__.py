"""Source tables: files, queries and generated data, read into Parquet with derived columns."""

__all__ = [
    "choose_reader",
    "columns",
    "csv",
    "declared",
    "dirty",
    "files",
    "given",
    "keys",
    "read",
    "readers",
    "statistics",
    "stored",
    "text",
]
