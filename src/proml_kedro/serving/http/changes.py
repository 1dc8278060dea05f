"""Changes of the model while it is served: asked for by a worker, made by the supervisor, which says how it went.

The supervisor numbers its attempts, and writes the last one into a file that all its workers know. A worker asks by the
signal that people send, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_VARIABLE = "PROML_SERVE_CHANGES"
_STEP = 0.05


@dataclass(frozen=True)
class Change:
    """An attempt to change the model.

    Attributes:
        number: From 1; 0 before there was any.
        is_over: Whether it is known how it went.
        bundle: The folder that is served after it.
        error: Why nothing was changed; None where it was.
    """

    number: int = 0
    is_over: bool = True
    bundle: str = ""
    error: str | None = None


class Changes:
    """What the supervisor says of its attempts.

    Args:
        file: Where it says so.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._number = 0

    @staticmethod
    def of_worker() -> Changes | None:
        """Return those of this worker's supervisor; None where there is none."""
        file = os.environ.get(_VARIABLE)
        return Changes(Path(file)) if file else None

    def environment(self) -> dict[str, str]:
        """Return what lets workers know of it."""
        return {_VARIABLE: str(self._file)}

    def begin(self) -> None:
        """Say that an attempt begins, before it is looked which bundle to serve."""
        self._number += 1
        self._write(Change(self._number, is_over=False))

    def end(self, bundle: Path, error: str | None) -> None:
        """Say how the attempt went."""
        self._write(Change(self._number, True, str(bundle), error))

    def _write(self, change: Change) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(asdict(change)), encoding="utf-8")
        part.replace(self._file)

    def last(self) -> Change:
        """Return the last attempt."""
        try:
            return Change(**json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Change()

    async def ask(self, seconds: float) -> Change | None:
        """Ask the supervisor, and wait for an attempt that begins after that; None when it takes too long."""
        before = self.last().number
        os.kill(os.getppid(), signal.SIGHUP)
        end = time.monotonic() + seconds
        while (last := self.last()).number <= before or not last.is_over:
            if time.monotonic() > end:
                return None
            await asyncio.sleep(_STEP)
        return last
