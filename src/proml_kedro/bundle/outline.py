"""What a bundle is called and reads, without loading it: neither NumPy nor a model is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from proml_kedro.results.json_file import UnreadableError, read_model
from proml_kedro.results.names import MANIFEST


@dataclass(frozen=True)
class InputOutline:
    """A feature or key that the model reads.

    Attributes:
        name: ``view.feature``, or a key of the examples.
        dtype: Its type; None where the manifest does not say.
        request: Whether it is sent with every request; otherwise it is looked up in the online store.
    """

    name: str
    dtype: str | None = None
    request: bool = False


@dataclass(frozen=True)
class BundleOutline:
    """The part of ``proml.yaml`` that others than its bundle need; of any version.

    Attributes:
        name: The bundle's name.
        version: Its version.
        inputs: What the model reads.
    """

    name: str
    version: str
    inputs: tuple[InputOutline, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a bundle.

        Raises:
            UnreadableError: It is missing, not YAML, or not a manifest.
        """
        file = folder / MANIFEST
        content = _load(file)
        schema = content.get("schema")
        inputs = schema.get("inputs") if isinstance(schema, dict) else None
        return read_model(cls, {**content, "inputs": inputs}, file)

    @property
    def tag(self) -> str:
        """``name:version``."""
        return f"{self.name}:{self.version}"


def _load(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UnreadableError(file, type(error).__name__) from error
    if not isinstance(content, dict):
        raise UnreadableError(file, "it holds no keys and values")
    return content
