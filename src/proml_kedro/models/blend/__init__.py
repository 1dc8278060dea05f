"""``kind: blend``: scorers averaged."""

from __future__ import annotations

from typing import Any

from proml_kedro.models.blend.spec import BlendSpec as Spec

__all__ = ["Component", "Spec", "component"]


def __getattr__(name: str) -> Any:
    """Import ``Component`` when it is asked for: the configuration is checked without its libraries."""
    if name != "Component":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from proml_kedro.models.blend.component import Blend

    return Blend
