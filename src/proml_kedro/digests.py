"""Digests of what a result is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel


@runtime_checkable
class Fingerprinted(Protocol):
    """Object that stands for everything it was made from, such as an artefact."""

    @property
    def fingerprint(self) -> str:
        """Its digest."""


def fingerprint(value: Any) -> str:
    """Return a digest of 16 hexadecimal digits. The order of keys does not affect it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON makes of specs and plain values."""
    content: dict[str, Any] = json.loads(json.dumps(value, default=_plain))
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Fingerprinted):
        return value.fingerprint
    if isinstance(value, timedelta | Path):
        return str(value)
    raise TypeError(f"a result cannot depend on a {type(value).__name__}")
