"""A bar that shows how far a run is: in a notebook as HTML that is written anew, in a terminal as one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from importlib import import_module
from typing import Any


class Progress:
    """How far a run is. It says nothing where nobody looks: in a script whose standard error is a file.

    Args:
        steps: Names of the steps that are to be done, in their order.
        title: What is run.

    Attributes:
        done: How many steps are finished.
    """

    def __init__(self, steps: Sequence[str], title: str) -> None:
        self.steps, self.title = list(steps), title
        self.done = 0
        self._at = ""
        self._began = time.monotonic()
        self._shown: Any = None

    def begin(self, step: str) -> None:
        """Show that a step is at work; those before it are finished."""
        self.done = self.steps.index(step) if step in self.steps else self.done
        self._at = step
        self._show()

    def end(self, failed: bool = False) -> None:
        """Show that all is finished, or that the step at work has failed."""
        if failed:
            self._at = f"{self._at} has failed"
        else:
            self.done, self._at = len(self.steps), ""
        self._show(last=True)

    def __str__(self) -> str:
        seconds = f"{time.monotonic() - self._began:.0f} s"
        parts = (f"{self.done} of {len(self.steps)}", self._at, seconds)
        return f"{self.title}: {' · '.join(one for one in parts if one)}"

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.done}" max="{len(self.steps)}" aria-label="steps"></progress>'
        return f"<p>{bar} {escape(str(self))}</p>"

    def _repr_mimebundle_(self, **kinds: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def _show(self, last: bool = False) -> None:
        if in_notebook():
            display: Callable[..., Any] = import_module("IPython.display").display
            if self._shown is None:
                self._shown = display(self, display_id=True)
            else:
                self._shown.update(self)
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{self}" + ("\n" if last else ""))
            sys.stderr.flush()


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook; IPython is not imported for that."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and getattr(shell, "kernel", None) is not None
