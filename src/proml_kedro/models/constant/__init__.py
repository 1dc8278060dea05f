"""``kind: constant``: the mean of the label, or the share of each class."""

from __future__ import annotations

from typing import Any

from proml_kedro.models.constant.spec import ConstantSpec as Spec

__all__ = ["Component", "Spec"]


def __getattr__(name: str) -> Any:
    """Import ``Component`` when it is asked for: the configuration is checked without NumPy."""
    if name != "Component":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from proml_kedro.models.constant.component import Constant

    return Constant
