"""Names of compiled functions that exist in several variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def name_variant(function: Function, *values: int) -> Function:
    """Give a function a name of its own for the values that it refers to.

    The linker finds compiled functions by name. If two processes kept two variants on disk under one name, a third
    process would run the one that it loads first for both.
    """
    function.__name__ = function.__qualname__ = "_".join([function.__name__, *map(str, values)])
    return function
