"""Feature views by one SQL text for DuckDB, Sail and Spark; moments are whole microseconds since 1970."""

__all__ = ["carried", "compute", "events", "exact_sums", "query"]
