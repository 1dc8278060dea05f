"""The log of what was released: who did what, when and why; lines are added and never changed.

Each line of ``<data_dir>/release/<problem>.log`` is JSON and holds the SHA-256 of the line before, so that a line that
was altered, taken out or put in between is seen.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from proml_kedro.errors import Mistake, UserError

Action = Literal["register", "promote", "rollback", "retire"]


@dataclass(frozen=True)
class Event:
    """A line of the log.

    Attributes:
        action: What was done.
        version: With which version; with ``rollback``, the one that is live again.
        digest: Of its bundle.
        at: When, in UTC, as ISO 8601.
        by: Who.
        why: What they said of it.
        forced: What spoke against it and was passed over.
        before: SHA-256 of the line before; empty in the first one.
    """

    action: Action
    version: int
    digest: str
    at: str
    by: str
    why: str = ""
    forced: tuple[str, ...] = ()
    before: str = ""


@dataclass(frozen=True)
class Log:
    """All lines, proved.

    Attributes:
        events: In order.
        head: SHA-256 of the last line; empty when there is none.
        length: Of the whole lines, in bytes; what is behind is of a process that was killed.
        is_ended: Whether the last line ends as it should; an editor may have taken that away.
    """

    events: Sequence[Event]
    head: str = ""
    length: int = 0
    is_ended: bool = True

    @classmethod
    def read(cls, file: Path) -> Log:
        """Read a log, which need not be there.

        Raises:
            UserError: A line does not follow from the one before, or is none.
        """
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return cls(())
        *lines, rest = content.split(b"\n")
        is_ended = _event(rest) is None  # a whole line, but for its end, is not of a process that was killed
        lines += [] if is_ended else [rest]
        events, head = [], ""
        for number, line in enumerate(lines, 1):
            event = _event(line)
            if event is None or event.before != head:
                what = "is no line of it" if event is None else "does not follow from the line before"
                message = f"{what}; the log was altered: restore {file.name} from a copy, nothing is changed by it"
                raise UserError(Mistake("", message, f"{file}:{number}"))
            events.append(event)
            head = _digest(line)
        return cls(tuple(events), head, len(content) - (len(rest) if is_ended else 0), is_ended)

    def append(self, file: Path, event: Event) -> str:
        """Write one more line, on the disk when this returns; return its SHA-256.

        Args:
            file: The log, which nobody else writes to.
            event: The line, whose ``before`` is :attr:`head`.
        """
        line = json.dumps(asdict(event), ensure_ascii=False, sort_keys=True).encode()
        with file.open("r+b" if file.exists() else "xb") as stream:
            stream.truncate(self.length)
            stream.seek(self.length)
            stream.write((b"" if self.is_ended else b"\n") + line + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        return _digest(line)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _event(line: bytes) -> Event | None:
    try:
        content: dict[str, Any] = json.loads(line)
        event = Event(**{**content, "forced": tuple(content.get("forced", ()))})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    sound = event.action in get_args(Action) and isinstance(event.version, int) and isinstance(event.before, str)
    return event if sound else None
