"""What a place that changes, such as a registry, was last made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proml_kedro.digests import fingerprint


class Stamp:
    """Memory of what a place that changes, such as a registry, was last made from.

    Args:
        file: Where that is written.
        place: What it is about; when that is gone, nothing is remembered.
    """

    def __init__(self, file: Path, place: Path) -> None:
        self._file = file
        self._place = place

    def matches(self, inputs: Mapping[str, Any]) -> bool:
        """Tell whether the place was last made from these inputs."""
        return self._place.exists() and self._file.is_file() and self._file.read_text() == fingerprint(inputs)

    def write(self, inputs: Mapping[str, Any]) -> None:
        """Remember that the place is now made from these inputs."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(fingerprint(inputs))

    def remove(self) -> None:
        """Forget what the place was made from, before it is changed."""
        self._file.unlink(missing_ok=True)
