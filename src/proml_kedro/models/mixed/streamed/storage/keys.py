"""Names of entities as words of eight bytes: compared, hashed and sorted without a Python object for each.

A word holds eight UTF-8 bytes of a name, the first one highest, padded with zeros: words sort as the bytes do.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array

Words = npt.NDArray[np.uint64]
"""Names of entities, shape (n, width)."""

_BYTES = 8


@numba.njit(cache=True, nogil=True)
def copy_names(offsets, data, known, words) -> int:
    """Write the words of each name, zeros for a missing one; a name that is too long is cut.

    Args:
        offsets: First byte of each name in ``data``, shape (n + 1,).
        data: Bytes of all names, uint8.
        known: bool of shape (n,): false for a missing name.
        words: uint64 of shape (n, width).

    Returns:
        Bytes of the longest name.
    """
    longest = 0
    room = _BYTES * words.shape[1]
    for i in range(known.size):
        words[i] = 0
        first, length = offsets[i], offsets[i + 1] - offsets[i]
        if known[i]:
            longest = max(longest, length)
            length = min(length, room)
            whole = length // _BYTES
            for word in range(whole):
                words[i, word] = _eight_bytes(data, first + _BYTES * word)
            for k in range(_BYTES * whole, length):
                words[i, whole] |= np.uint64(data[first + k]) << np.uint64(56 - 8 * (k % _BYTES))
    return longest


@numba.njit(inline="always")
def _eight_bytes(data, at):
    """Read eight bytes as one number; written out, so that the compiler makes it one instruction."""
    return (
        np.uint64(data[at]) << np.uint64(56)
        | np.uint64(data[at + 1]) << np.uint64(48)
        | np.uint64(data[at + 2]) << np.uint64(40)
        | np.uint64(data[at + 3]) << np.uint64(32)
        | np.uint64(data[at + 4]) << np.uint64(24)
        | np.uint64(data[at + 5]) << np.uint64(16)
        | np.uint64(data[at + 6]) << np.uint64(8)
        | np.uint64(data[at + 7])
    )


@numba.njit(cache=True, nogil=True)
def copy_numbers(values, known, words) -> int:
    """Write the words of int64 numbers, whose names are their digits; otherwise as :func:`copy_names`."""
    digits = np.empty(24, np.uint8)
    longest = 0
    for i in range(known.size):
        words[i] = 0
        if known[i]:
            # The lowest number has no positive counterpart in int64, but has one in uint64.
            left = np.uint64(values[i]) if values[i] >= 0 else ~np.uint64(values[i]) + np.uint64(1)
            count = 0
            while count == 0 or left > 0:
                digits[count] = 48 + left % np.uint64(10)
                left //= np.uint64(10)
                count += 1
            if values[i] < 0:
                digits[count] = 45
                count += 1
            longest = max(longest, count)
            for k in range(min(count, _BYTES * words.shape[1])):
                byte = np.uint64(digits[count - 1 - k])
                words[i, k // _BYTES] |= byte << np.uint64(56 - 8 * (k % _BYTES))
    return longest


@numba.njit(inline="always")
def hash_of(words, row):
    """Hash the words of a row to 64 bits, by products with large odd numbers and folding high bits onto low ones."""
    mixed = np.uint64(0x9E3779B97F4A7C15)
    for k in range(words.shape[1]):
        mixed = (mixed ^ words[row, k]) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    return mixed ^ (mixed >> np.uint64(29))


def words_of(column: Any, width: int) -> tuple[Words, npt.NDArray[np.bool_], int]:
    """Read the names in an Arrow array of text or whole numbers.

    Args:
        column: ``pyarrow.Array``.
        width: Words of each name.

    Returns:
        Words of shape (n, width); bool of shape (n,), false for missing names; and the bytes of the longest name.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    known = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    words = np.empty((len(column), width), np.uint64)
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        values = column.fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return words, known, int(copy_numbers(values, known, words))
    if not pa.types.is_large_string(column.type):
        column = column.cast(pa.large_string())
    _, offsets, data = column.buffers()
    starts = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    text = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return words, known, int(copy_names(starts, text, known, words))


def names_of(words: Words, longest: int) -> Array:
    """Convert words to fixed-width bytes, shape (n,)."""
    width = _BYTES * words.shape[1]
    whole = words.astype(">u8").view(f"S{width}")[:, 0]
    return whole.astype(f"S{max(longest, 1)}")


def order_of(words: Words) -> npt.NDArray[np.int64]:
    """Sort distinct names; positions in ascending order, shape (n,).

    Names such as ``member000123`` differ in few bits. Where these are at most 64, they are sorted as one number each.
    """
    if words.shape[1] == 1 or not len(words):
        return np.argsort(words[:, 0])
    runs = np.array(list(_runs(np.bitwise_or.reduce(words ^ words[0], axis=0))), np.uint64).reshape(-1, 3)
    if runs[:, 2].sum() <= 64:
        return np.argsort(squeeze(words, runs))
    return np.lexsort(words.T[::-1])


def _runs(bits: Words) -> Iterator[tuple[int, int, int]]:
    """List the runs of ones from the highest to the lowest bit: word, lowest bit, and length."""
    for word, value in enumerate(bits.tolist()):
        high = 64
        while value and high:
            high = value.bit_length()
            low = high
            while low and value >> (low - 1) & 1:
                low -= 1
            yield word, low, high - low
            value &= (1 << low) - 1


@numba.njit(cache=True, nogil=True)
def squeeze(words, runs):
    """Put the bits in which names differ side by side, which gives numbers that sort as the names do; shape (n,)."""
    numbers = np.zeros(len(words), np.uint64)
    for i in range(len(words)):
        for k in range(len(runs)):
            bits = words[i, runs[k, 0]] >> runs[k, 1]
            if runs[k, 2] < 64:
                bits &= (np.uint64(1) << runs[k, 2]) - np.uint64(1)
                numbers[i] = numbers[i] << runs[k, 2]
            numbers[i] |= bits
    return numbers


@numba.njit(cache=True, nogil=True)
def places_among(names, known, places) -> None:
    """Find the position of each name among the known ones, -1 for unknown names, by one walk over both.

    Args:
        names: uint8 of shape (n, bytes): ascending, padded with zeros.
        known: The same, perhaps of another width.
        places: int64 of shape (n,), in which positions are written.
    """
    at = 0
    for i in range(len(names)):
        order = 1
        while at < len(known):
            order = _compare(known, at, names, i)
            if order >= 0:
                break
            at += 1
        places[i] = at if at < len(known) and order == 0 else -1


@numba.njit(inline="always")
def _compare(these, one, those, other):
    order = 0
    for k in range(max(these.shape[1], those.shape[1])):
        a = these[one, k] if k < these.shape[1] else np.uint8(0)
        b = those[other, k] if k < those.shape[1] else np.uint8(0)
        if a != b:
            order = -1 if a < b else 1
            break
    return order


def bytes_of(names: Array) -> npt.NDArray[np.uint8]:
    """View fixed-width bytes as uint8 numbers, shape (n, bytes), without a copy."""
    return names.view(np.uint8).reshape(len(names), -1)
