"""The composed configuration as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from proml_kedro.config.loader import HydraConfigLoader
from proml_kedro.spec.run import RunSpec


def as_yaml(loader: HydraConfigLoader, resolved: bool = False) -> str:
    """The configuration as YAML.

    Args:
        loader: Composes it.
        resolved: Whether what nobody wrote is filled in with its default.
    """
    return yaml.safe_dump(_content(loader, resolved), sort_keys=False, allow_unicode=True, width=100)


def with_origins(loader: HydraConfigLoader, resolved: bool = False) -> str:
    """Each value on a line of its own, behind the place where it was written."""
    lines = [(loader.where(key) or "default", key, value) for key, value in _leaves(_content(loader, resolved))]
    width = max(len(place) for place, _, _ in lines)
    return "".join(f"{place:<{width}}  {key}: {value!r}\n" for place, key, value in lines)


def _content(loader: HydraConfigLoader, resolved: bool) -> dict[str, Any]:
    config = dict(loader.config)
    if resolved:
        catalog = config.pop("catalog", {})
        config = {**RunSpec.model_validate(config).model_dump(mode="json"), "catalog": catalog}
    return config


def _leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict) and config:
        for name, value in config.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, config
