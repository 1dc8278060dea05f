"""The server of bundles: an ASGI application, workers that serve it, and a supervisor of those."""

__all__ = ["address", "bento", "champion", "decoder", "match", "openapi", "supervisor"]
