"""Widths of what a block is given, and the objections that several blocks share."""

from __future__ import annotations

from collections.abc import Sequence

from proml_kedro.models.deep.blocks.base import ItemWidth, Width


def total(parts: Sequence[Width]) -> Width:
    """Add up the widths of all vectors; None when one is not known.

    >>> total([4, 8]), total([4, None])
    (12, None)
    """
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def same_width(parts: Sequence[Width], what: str) -> Width:
    """Return the one width that all vectors have; None when none is known.

    Args:
        parts: The widths.
        what: Kind of block, for the message.

    Raises:
        ValueError: They differ.
    """
    known = sorted({part for part in parts if part is not None})
    if len(known) > 1:
        raise ValueError(f"{what} needs vectors of one width, not of {', '.join(map(str, known))}")
    return known[0] if known else None


def several_of_one_width(parts: Sequence[Width], what: str) -> None:
    """Check that there are at least two vectors, all of one width.

    Raises:
        ValueError: There are fewer, or they differ in width.
    """
    if len(parts) < 2:
        raise ValueError(f"{what} needs at least two vectors to pair")
    same_width(parts, what)


def two_of_one_width(parts: Sequence[Width], what: str) -> None:
    """Check that there are exactly two vectors, of one width.

    Raises:
        ValueError: There are fewer or more, or they differ in width.
    """
    if len(parts) != 2:
        raise ValueError(f"{what} compares two vectors, not {len(parts)}")
    same_width(parts, what)


def items_width(parts: Sequence[Width], what: str) -> ItemWidth:
    """Return the width of the items of the one text or sequence among what a block is given.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [part for part in parts if isinstance(part, ItemWidth)]
    if len(found) != 1:
        raise ValueError(f"{what} reads exactly one text or sequence, not {len(found)}")
    return found[0]
