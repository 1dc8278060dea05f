"""Progress bars on long work, for people: nothing is drawn when standard error is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Protocol

_SCREEN = RLock()
"""Held by the thread that draws: of components that are fitted at the same time, one has a bar."""


class Advance(Protocol):
    """Advances a bar by a step."""

    def __call__(self, note: str = "") -> None:
        """Take a step; a note is a line above the bar that stays."""


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Advance]:
    """Show a bar while the block runs; the function it is given advances it by a step (of ``total``, if known)."""
    if not sys.stderr.isatty() or not _SCREEN.acquire(blocking=False):
        yield lambda note="": None
        return
    try:
        with _bar(description, total) as advance:
            yield advance
    finally:
        _SCREEN.release()


@contextmanager
def _bar(description: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    name = TextColumn("{task.description}", markup=False)  # it holds names that users have chosen
    columns = (name, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)

        def advance(note: str = "") -> None:
            bar.advance(task)
            if note:
                bar.console.print(note, markup=False, highlight=False)

        yield advance
