"""Checks of a composed configuration that are not about a single value."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from proml_kedro.errors import Mistake


def find_targets(config: Any, key: str = "") -> list[Mistake]:
    """Uses of Hydra's ``_target_``, which would let a configuration call anything."""
    return [
        Mistake(one, "_target_ is not allowed; components are chosen by their kind") for one in _targets(config, key)
    ]


def _targets(config: Any, key: str) -> Iterator[str]:
    children = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for name, value in children:
        here = f"{key}.{name}" if key else str(name)
        if name == "_target_":
            yield here
        yield from _targets(value, here)


def import_extensions(modules: Sequence[str]) -> list[Mistake]:
    """Import the modules, for the components they register; a mistake for each that cannot be."""
    mistakes = []
    for position, module in enumerate(modules):
        try:
            importlib.import_module(module)
        except ImportError as error:
            mistakes.append(Mistake(f"extensions.{position}", f"cannot import '{module}': {error}"))
    return mistakes
