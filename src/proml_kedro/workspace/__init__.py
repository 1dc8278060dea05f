"""The local page: features, models and health of a project, on this machine alone; it changes answers alone."""

__all__ = ["results", "server", "snapshot"]
