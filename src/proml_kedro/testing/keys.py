"""A law of everything that YAML configures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError


def check_unknown_key(read: Callable[[dict[str, Any]], object], config: Mapping[str, Any]) -> None:
    """Prove that an unknown key is a single mistake.

    Args:
        read: Checks a mapping as the configuration does.
        config: A mapping without mistakes.

    Raises:
        AssertionError: The key is accepted, or gives several mistakes.
    """
    mistakes = 0
    try:
        read({**config, "no_such_key": 1})
    except ValidationError as error:
        mistakes = error.error_count()
    assert mistakes > 0, "an unknown key is accepted"
    assert mistakes == 1, f"an unknown key gives {mistakes} mistakes, not one"
