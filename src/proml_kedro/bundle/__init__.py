"""A trained model as one folder: weights, configuration, schema, lineage, golden rows and checksums.

``BundleOutline`` and ``IntegrityError`` are light; the others import NumPy and the models when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from proml_kedro.bundle.integrity import IntegrityError
from proml_kedro.bundle.outline import BundleOutline, InputOutline

if TYPE_CHECKING:
    from proml_kedro.bundle.bundle import Bundle, BundleContent, write_bundle
    from proml_kedro.bundle.manifest import InputField, Manifest, Schema
    from proml_kedro.bundle.updated import write_updated

__all__ = [
    "Bundle",
    "BundleContent",
    "BundleOutline",
    "InputField",
    "InputOutline",
    "IntegrityError",
    "Manifest",
    "Schema",
    "golden",
    "integrity",
    "places",
    "row_scorer",
    "signature",
    "write_bundle",
    "write_updated",
]

_HOMES = {
    "Bundle": "bundle",
    "BundleContent": "bundle",
    "write_bundle": "bundle",
    "write_updated": "updated",
    "InputField": "manifest",
    "Manifest": "manifest",
    "Schema": "manifest",
}


def __getattr__(name: str) -> Any:
    """Import what is not light on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
