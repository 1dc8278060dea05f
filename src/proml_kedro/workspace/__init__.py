"""The local page: features, models and health of a project, read-only, on this machine alone."""

__all__ = ["results", "server", "snapshot"]
