"""Columns as bytes, between a server and its places. Nothing is ever unpickled.

Numbers go as they are in memory, so that a component computes from the same bits wherever it is. Text goes as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from proml_kedro.models.component import Array, Columns

UPGRADE: Final = "proml-frames/1"
"""The protocol that a connection changes to, by HTTP's ``Upgrade``."""

PATH: Final = "/frames"
DIGEST: Final = "x-proml-bundle"
"""The header that says of which bundle the asker is."""

_TEXT: Final = "text"
_NUMBERS: Final = frozenset({"<f4", "<f8", "<i8"})


class WireError(Exception):
    """What came is not what was asked for; ``str()`` of the error says how, without any value."""


def pack(columns: Columns) -> tuple[list[list[Any]], bytes]:
    """Write columns.

    Args:
        columns: Arrays of n rows: floating point or 64-bit whole numbers of shape (n,) or (n, size), or objects of
            ``str`` and None of shape (n,).

    Returns:
        For each column its name, type, shape of a row, and number of bytes; and the bytes of all of them.

    Raises:
        WireError: A column is of another type.
    """
    described: list[list[Any]] = []
    parts: list[bytes] = []
    for name, values in columns.items():
        if values.dtype == object:
            kind, part = _TEXT, orjson.dumps(values.tolist())
        else:
            kind, part = values.dtype.str, values.tobytes()
            if kind not in _NUMBERS:
                raise WireError(f"'{name}' is of type {values.dtype}, which is not sent")
        described.append([name, kind, list(values.shape[1:]), len(part)])
        parts.append(part)
    return described, b"".join(parts)


def unpack(described: Sequence[Sequence[Any]], body: bytes, rows: int) -> dict[str, Array]:
    """Read columns.

    Args:
        described: As :func:`pack` gave it.
        body: The bytes.
        rows: How many rows each column has to have.

    Raises:
        WireError: They are no such columns, or have another number of rows.
    """
    found: dict[str, Array] = {}
    start = 0
    try:
        for name, kind, shape, size in described:
            part = body[start : start + size]
            if len(part) != size:
                raise WireError(f"'{name}' is cut off")
            found[name] = _array(str(name), kind, (rows, *shape), part)
            start += size
    except (TypeError, ValueError) as error:  # orjson's errors are of these, too
        raise WireError("it is no description of columns") from error
    if start != len(body):
        raise WireError("there is more than was described")
    return found


def _array(name: str, kind: str, shape: tuple[int, ...], part: bytes) -> Array:
    rows = shape[0]
    if kind == _TEXT:
        texts = orjson.loads(part)
        if not isinstance(texts, list) or len(texts) != rows:
            raise WireError(f"'{name}' has not {rows} rows")
        array = np.empty(rows, object)
        array[:] = texts
        return array
    if kind not in _NUMBERS:
        raise WireError(f"'{name}' is of a type that is not sent")
    numbers = np.frombuffer(part, kind)
    if numbers.size != int(np.prod(shape)):
        raise WireError(f"'{name}' has not {rows} rows")
    return numbers.reshape(shape).copy()  # aligned in memory, and to be written to as any other


def refuse_other_columns(
    made: Mapping[str, Array], wanted: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
) -> None:
    """Refuse columns that are not exactly those that are wanted, of their types and the shapes of a row.

    Raises:
        WireError: A column is missing, or is another one.
    """
    if list(made) != list(wanted):
        raise WireError("it has other columns")
    for name, (dtype, shape) in wanted.items():
        if made[name].dtype != dtype or made[name].shape[1:] != shape:
            raise WireError(f"'{name}' is of another type or shape")
