"""Interpolations, resolved to plain values; each that cannot be resolved is reported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake

if TYPE_CHECKING:
    from omegaconf import DictConfig


def resolve(
    config: DictConfig, keys: Iterable[str] | None = None
) -> tuple[dict[str, Any], list[Mistake], list[Mistake]]:
    """Convert the configuration to plain dictionaries, lists and values.

    Args:
        config: What was composed.
        keys: Keys at the top to convert; None for all.

    Returns:
        The values, None in place of those that cannot be resolved; a mistake for each of these; and apart from them
        the mistakes that may only be consequences, where an interpolation leads to another one that fails.
    """
    walk = _Walk(config)
    values = {
        name: walk.value(config, name, name) for name in map(str, config if keys is None else keys) if name in config
    }
    return values, walk.mistakes, walk.consequences


class _Walk:
    def __init__(self, root: DictConfig) -> None:
        self._root = root
        self.mistakes: list[Mistake] = []
        self.consequences: list[Mistake] = []

    def value(self, node: Any, key: Any, path: str) -> Any:
        """Resolve a node's child to a plain value."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        if OmegaConf.is_missing(node, key):
            self.mistakes.append(Mistake(path, "must be given; nothing sets it yet"))
            return None
        try:
            value = node[key]
        except (OmegaConfBaseException, RecursionError) as error:
            self._report(error, path, str(node._get_node(key)._value()))
            return None
        if OmegaConf.is_dict(value):
            return {name: self.value(value, name, f"{path}.{name}") for name in value}
        if OmegaConf.is_list(value):
            return [self.value(value, place, f"{path}.{place}") for place in range(len(value))]
        return value

    def _report(self, error: Exception, path: str, text: str) -> None:
        from proml_kedro.config.hydra_errors import explain_interpolation, named_in

        message = explain_interpolation(error, list(_keys(self._root)))
        name = named_in(error)
        is_own = bool(name) and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) is not None
        (self.mistakes if is_own else self.consequences).append(Mistake(path, message))


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    from omegaconf import OmegaConf

    for name in node:
        yield f"{prefix}{name}"
        child = node._get_node(name)
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_interpolation():
            yield from _keys(child, f"{prefix}{name}.")
