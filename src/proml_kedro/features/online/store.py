"""What an online store keeps: one row for each entity of a view. Without Feast, so that reading costs no import.

A row has the moment it is known from, the moment it was made, and its values as JSON; what they are called is kept
once. No older row ever replaces a newer one: of two with the same moment the one made later counts, of two that are
equal in this too the one written later.
"""

from __future__ import annotations

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Layout = tuple[tuple[str, str], ...]
"""Name and kind of each value of a row; kinds are the fields of Feast's ``Value``, such as ``double_val``."""

Row = tuple[bytes, int, int, list[Any]]
"""Entity key; microseconds since 1970 when it became known and when it was made; plain values, None for null."""

Answer = tuple[int, Layout, list[Any]]
"""When a row became known, in microseconds since 1970; what its values are called; the values."""

Held = tuple[datetime, str]
"""Up to which moment a view was materialized, and a digest of its history then."""


class NotStoredError(LookupError):
    """A view was never put into the store, or is registered no more."""


class Rows(ABC):
    """The rows of a problem's views."""

    @abstractmethod
    def is_there(self) -> bool:
        """Whether there is a store at all."""

    @abstractmethod
    def make(self, view: str, keys: Mapping[str, str]) -> None:
        """Make room for a view; ``keys`` are its entity columns, each ``int`` or ``str``."""

    @abstractmethod
    def key_types(self, view: str) -> dict[str, str]:
        """What :meth:`make` was told.

        Raises:
            NotStoredError: It was told nothing.
        """

    @abstractmethod
    def write(self, view: str, layout: Layout, rows: Sequence[Row]) -> None:
        """Write rows, but none over a newer one."""

    @abstractmethod
    def read(self, view: str, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The rows of those entities that have one, in one read.

        Raises:
            NotStoredError: There is no such view.
        """

    @abstractmethod
    def drop(self, view: str) -> None:
        """Remove a view."""

    @abstractmethod
    def forget(self, view: str, until: datetime) -> int:
        """Remove a view's rows up to a moment; how many there were."""

    @abstractmethod
    def held(self) -> dict[str, Held]:
        """The views that are known to be whole."""

    @abstractmethod
    def note(self, view: str, until: datetime, history: str) -> None:
        """Note that a view is whole up to a moment."""

    @abstractmethod
    def doubt(self, view: str) -> None:
        """Note that nothing is certain of a view."""


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970; without a time zone the moment is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def to_moment(microseconds: int) -> datetime:
    """The reverse of :func:`to_microseconds`."""
    return EPOCH + timedelta(microseconds=microseconds)


_STRING, _INT64 = 2, 4


def entity_key(types: Mapping[str, str], values: Mapping[str, Any]) -> bytes:
    """The bytes that Feast calls version 3 of an entity key.

    Args:
        types: The key columns, each ``int`` or ``str``.
        values: Their values, of these types.
    """
    names = sorted(types)
    parts = [struct.pack("<I", len(names))]
    for name in names:
        encoded = name.encode()
        parts += [struct.pack("<II", _STRING, len(encoded)), encoded]
    for name in names:
        if types[name] == "int":
            parts.append(struct.pack("<IIq", _INT64, 8, values[name]))
        else:
            encoded = str(values[name]).encode()
            parts += [struct.pack("<II", _STRING, len(encoded)), encoded]
    return b"".join(parts)


def to_json(value: Any) -> str:
    """Plain values as short as JSON gets; infinite numbers and not-a-number come back as they went."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
