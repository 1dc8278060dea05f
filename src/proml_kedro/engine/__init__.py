"""Running SQL over tables: a session on the machine's engine, lazy relations, the words of its SQL, its errors."""

__all__ = ["allowed", "duckdb", "errors", "portable", "relation", "session", "spark"]
