"""The local page: features, models and health of a project, on this machine alone; answers about anomalies are all it changes."""

__all__ = ["results", "server", "snapshot"]
