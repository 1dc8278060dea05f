"""Feast without the checks of types at run time that it has typeguard write into its classes.

Writing them takes nearly three quarters of what importing Feast costs, in every process. Whatever we hand to Feast is
checked by mypy and comes from checked specs. Feast's own commands import Feast first, and keep the checks.
"""

from __future__ import annotations

from functools import partial
from typing import Any


def leave_unchecked() -> None:
    """Let typeguard's decorator return functions and classes of Feast as they are, and treat others as before."""
    try:
        import typeguard
    except ImportError:  # it is here for Feast's sake alone, and another Feast may do without
        return
    check: Any = typeguard.typechecked
    if getattr(check, "leaves_feast", False):
        return

    def typechecked(target: Any = None, **how: Any) -> Any:
        if target is None:
            return partial(typechecked, **how)
        module = getattr(target, "__module__", None) or ""
        return target if module.partition(".")[0] == "feast" else check(target, **how)

    typechecked.leaves_feast = True  # type: ignore[attr-defined]
    typeguard.typechecked = typechecked
