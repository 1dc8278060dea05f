"""What an online store keeps: one row for each entity of a view. Without Feast, so that reading costs no import.

A row has the moment it is known from, the moment it was made, and its values as JSON; what they are called is kept
once. No older row ever replaces a newer one: of two with the same moment the one made later counts, of two that are
equal in this too the one written later.
"""

from __future__ import annotations

import hashlib
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Layout = tuple[tuple[str, str], ...]
"""Name and kind of each value of a row; kinds are the fields of Feast's ``Value``, such as ``double_val``."""

NewRow = tuple[bytes, int, int, list[Any]]
"""Row to write: entity key; microseconds since 1970 when it became known and when it was made; plain values, None for
null."""

NewRows = tuple[Layout, Sequence[NewRow]]
"""Rows to write that have one layout."""

StoredRow = tuple[int, Layout, list[Any]]
"""Row as it is read: when it became known, in microseconds since 1970; what its values are called; the values."""


class Watermark(NamedTuple):
    """Mark of how far a view is materialized.

    Attributes:
        until: Up to which moment the view is complete.
        history: A digest of the view's history up to then.
    """

    until: datetime
    history: str


class NotStoredError(LookupError):
    """A view was never put into the store, or is not registered any more."""


class OnlineStore(ABC):
    """Store of the newest row of each entity, for the views of one problem.

    Several threads read one object at once, and several processes write to one place at once.
    :func:`proml_kedro.testing.check_online_store` holds an implementation to all that is said here.
    """

    @abstractmethod
    def exists(self) -> bool:
        """Return whether anything was ever stored for the problem. Nothing is made."""

    @abstractmethod
    def add_view(self, view: str, keys: Mapping[str, str]) -> None:
        """Make a view known. Rows of a view that is known already stay.

        Args:
            view: The view.
            keys: Its entity columns, each ``int`` or ``str``.
        """

    @abstractmethod
    def key_types(self, view: str) -> dict[str, str]:
        """Return the entity columns that :meth:`add_view` was given.

        Raises:
            NotStoredError: The view is unknown.
        """

    @abstractmethod
    def write(self, view: str, layout: Layout, rows: Sequence[NewRow]) -> None:
        """Write rows of a known view, but none over a newer one; see the head of this module.

        Values are what JSON has, with infinite numbers and not-a-number, and come back as they went.
        """

    @abstractmethod
    def read(self, view: str, keys: Sequence[bytes]) -> dict[bytes, StoredRow]:
        """Read the rows of many entities at once. Entities without a row are omitted.

        Raises:
            NotStoredError: The view is unknown.
        """

    def is_as_written(self, view: str) -> bool:
        """Look at every row of a view, and tell whether together they are those that were written and not deleted.

        A store that notes no digest of what is written to it, as this default, tells whether the view is known.
        """
        try:
            self.key_types(view)
        except NotStoredError:
            return False
        return True

    def state(self, view: str) -> str:
        """Return a text that is equal for equal rows of a view, whenever they were made; no row is read.

        It is empty for a view that is unknown, and always in a store that notes no digest of what is written to it,
        as this default.
        """
        return ""

    def discard_damaged(self) -> bool:
        """Empty a store that is too damaged to be written to, and tell whether it was.

        A store that a server keeps whole, as this default, never is.
        """
        return False

    @abstractmethod
    def drop_view(self, view: str) -> None:
        """Remove a view with its rows and its watermark; nothing happens when there is none."""

    @abstractmethod
    def delete_until(self, view: str, until: datetime) -> int:
        """Delete the rows of a view up to a moment, it included; return how many there were."""

    def replace(self, view: str, until: datetime, rows: Iterable[NewRows], mark: Watermark) -> None:
        """Put rows in the place of all that a known view has up to a moment, and mark it as complete.

        Newer rows stay. Whoever reads meanwhile should find of each entity the row from before or the one from after:
        this default, which deletes first, cannot promise it.

        Args:
            view: The view.
            until: The moment.
            rows: The rows.
            mark: How far the view is complete then.
        """
        self.clear_watermark(view)
        self.delete_until(view, until)
        for layout, part in rows:
            self.write(view, layout, part)
        self.set_watermark(view, *mark)

    @abstractmethod
    def watermarks(self) -> dict[str, Watermark]:
        """Return the watermarks of the views that are complete."""

    @abstractmethod
    def set_watermark(self, view: str, until: datetime, history: str) -> None:
        """Mark a view as complete up to a moment."""

    @abstractmethod
    def clear_watermark(self, view: str) -> None:
        """Mark a view as incomplete, so that the next run rewrites it."""


def to_microseconds(moment: datetime) -> int:
    """Return microseconds since 1970. A moment without a time zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def to_moment(microseconds: int) -> datetime:
    """Return the moment of :func:`to_microseconds`."""
    return EPOCH + timedelta(microseconds=microseconds)


_STRING, _INT64 = 2, 4


_INT_PART = struct.Struct("<IIq")


def entity_key(types: Mapping[str, str], values: Mapping[str, Any]) -> bytes:
    """Encode an entity key as Feast's version 3 does.

    Args:
        types: The key columns, each ``int`` or ``str``.
        values: Their values, of these types.
    """
    return key_encoder(types)(values)


def key_encoder(types: Mapping[str, str]) -> Callable[[Mapping[str, Any]], bytes]:
    """Return what encodes entity keys of these types as :func:`entity_key` does; their names are encoded once."""
    names = sorted(types)
    head = struct.pack("<I", len(names))
    for name in names:
        encoded = name.encode()
        head += struct.pack("<II", _STRING, len(encoded)) + encoded
    kinds = [(name, types[name] == "int") for name in names]

    def encode(values: Mapping[str, Any]) -> bytes:
        parts = [head]
        for name, is_int in kinds:
            if is_int:
                parts.append(_INT_PART.pack(_INT64, 8, values[name]))
            else:
                encoded = str(values[name]).encode()
                parts += [struct.pack("<II", _STRING, len(encoded)), encoded]
        return b"".join(parts)

    return encode


def row_digest(*parts: bytes) -> int:
    """Digest a row in 48 bits; the sum of those of all rows, modulo 2^48, is the digest of a view.

    Args:
        parts: What the row is, each part as bytes.
    """
    return int.from_bytes(hashlib.sha1(b"\0".join(parts), usedforsecurity=False).digest()[:6])


DIGESTS = 1 << 48
"""Modulus of sums of :func:`row_digest`."""


def to_json(value: Any) -> str:
    """Encode plain values as the shortest JSON. Infinite numbers and not-a-number come back as they went."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
