"""Engines that speak the protocol of Spark Connect: Sail inside of this process, or a server elsewhere."""

__all__ = ["ordered", "place", "session"]
