"""Source tables: files, queries and generated data, read into Parquet with derived columns."""

__all__ = [
    "choose_reader",
    "columns",
    "csv",
    "dates",
    "declared",
    "derived",
    "dirty",
    "files",
    "given",
    "guess",
    "keys",
    "read",
    "readers",
    "statistics",
    "stored",
    "text",
    "undecided",
]
