"""Feast without what its import costs every process.

Feast decorates its classes by ``typeguard.typechecked``, which compiles each method anew when the module is imported:
3.4 of the 4.9 CPU seconds of ``import feast``. What the project gives to Feast it has checked itself. The metrics of
its server are kept in files that all its workers share, and that are still open when a run without a server ends.
"""

from __future__ import annotations

import sys
from functools import partial, wraps
from typing import Any


def keep_metrics_in_memory() -> None:
    """Let metrics be numbers of this process, unless its environment says otherwise; before Feast is imported."""
    if "feast" not in sys.modules:
        import prometheus_client  # noqa: F401 - decides by the environment, which Feast changes


def leave_unchecked() -> None:
    """Let typeguard leave Feast's classes and functions as they are, and only those; before Feast is imported."""
    if "feast" in sys.modules:
        return
    try:
        import typeguard
    except ImportError:  # Feast's, not ours: without it there is nothing to leave out
        return
    checked = typeguard.typechecked

    @wraps(checked)
    def typechecked(target: Any = None, /, **options: Any) -> Any:
        if target is None:
            return partial(typechecked, **options)
        ours = str(getattr(target, "__module__", "")).partition(".")[0] == "feast"
        return target if ours else checked(target, **options)

    typeguard.typechecked = typechecked
