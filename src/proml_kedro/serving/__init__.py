"""The scoring service that a bundle is packaged into."""

__all__ = ["bento", "http", "prove"]
