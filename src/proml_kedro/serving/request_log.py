"""What was looked up for requests, as lines of JSON: for `kedro features check --log` to be compared with training."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from proml_kedro.models.component import Array, Columns

logger = logging.getLogger(__name__)


class RequestLog:
    """Log file with a line for each row: its keys, its moment, and the features that were looked up.

    What requests contain themselves is not written. Lines are appended in one piece, so that several processes can
    share the file. A failure to write is logged once; requests are answered all the same.

    Args:
        file: The file; made when it does not exist, readable for its owner only.
        model: The model that scores the rows.
    """

    def __init__(self, file: Path, model: str) -> None:
        self._file = file
        self._model = model
        self._failed = False

    def write(self, keys: Sequence[Mapping[str, Any]], moments: Sequence[datetime], columns: Columns) -> bool:
        """Add n rows; return whether all of them are in the file.

        Args:
            keys: Keys of each row.
            moments: Moment of each row for which its features were read.
            columns: The features, n values each.
        """
        values = {name: _plain(one) for name, one in columns.items()}
        lines = [
            {
                "model": self._model,
                "as_of": moment.isoformat(),
                "keys": dict(key),
                "features": dict(zip(values, row, strict=True)),
            }
            for key, moment, *row in zip(keys, moments, *values.values(), strict=True)
        ]
        text = "".join(f"{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n" for line in lines)
        try:
            handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                self._append(handle, text.encode())
            finally:
                os.close(handle)
        except OSError as error:
            if not self._failed:
                logger.warning("requests cannot be logged: %s", error.strerror)
            self._failed = True
            return False
        self._failed = False
        return True

    def _append(self, handle: int, content: bytes) -> None:
        """Write all of it; what a full disk has cut ends with its line, so that the next record is whole."""
        written = os.write(handle, content)
        if written < len(content):
            with suppress(OSError):
                os.write(handle, b"\n")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _plain(values: Array) -> list[Any]:
    """Return values as JSON has them, None for missing."""
    return [None if _is_missing(one) else one for one in values.tolist()]


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, list) and any(one != one for one in value))
