"""A project as a notebook works on it: features, training sets, runs and plots as objects that show themselves.

``open_project`` opens one. Whatever has rows is a :class:`Frame`, which becomes one of pandas, Polars or Arrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proml_kedro.notebook.frame import Frame
    from proml_kedro.notebook.opened import OpenedProject, open_project

__all__ = ["Frame", "OpenedProject", "open_project"]

_HOMES = {"Frame": "frame", "OpenedProject": "opened", "open_project": "opened"}


def __getattr__(name: str) -> Any:
    """Import what is asked for on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
