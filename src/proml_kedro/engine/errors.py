"""What an engine raises, by who can do something about it."""

from __future__ import annotations


class EngineError(Exception):
    """A query that the engine refuses or cannot finish. ``str()`` of it is the engine's own message."""


class DataError(EngineError):
    """A value in the data that the query cannot convert or compute with."""


class MachineError(EngineError):
    """A failure of the memory or the disk, whatever the query says."""


class MemoryShortageError(MachineError):
    """A query that needs more memory than the engine may use, even with the disk."""
