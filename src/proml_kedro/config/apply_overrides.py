"""Overrides of single values, applied to what Hydra has composed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proml_kedro.config.folders import Folders
from proml_kedro.config.overrides import Override
from proml_kedro.config.spec_paths import is_free
from proml_kedro.errors import Mistake, did_you_mean
from proml_kedro.spec.run import RunSpec

if TYPE_CHECKING:
    from omegaconf import DictConfig


def apply_overrides(
    config: DictConfig, edits: list[Override], folders: Folders
) -> tuple[list[Mistake], list[Override]]:
    """Change single values of a composition, in place.

    Args:
        config: The composition.
        edits: The new values, in their order.
        folders: Where files are, for messages about keys.

    Returns:
        A mistake for each value that cannot be changed, and the overrides that were applied.
    """
    from omegaconf.errors import OmegaConfBaseException

    mistakes: list[Mistake] = []
    applied: list[Override] = []
    for edit in edits:
        try:
            problem = _apply_one(config, edit, folders)
        except (OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
            problem = f"cannot be set to this value: {str(error).splitlines()[0]}"
        if problem:
            mistakes.append(Mistake(edit.key, problem, edit.where))
        else:
            applied.append(edit)
    return mistakes, applied


def _apply_one(config: DictConfig, edit: Override, folders: Folders) -> str | None:
    """Override one value; the problem in words when that is impossible."""
    from omegaconf import OmegaConf

    if str(edit.path[0]).partition("/")[0] == "hydra":
        return "Hydra's own settings are not part of the configuration"
    missing = _missing_part(config, edit.path)
    if edit.mode == "delete":
        return _delete(config, edit, missing)
    if edit.mode == "add" and missing is None and not isinstance(edit.value, dict | list):
        return "is there already; write it without +"
    if edit.mode == "set" and missing is not None:
        parent = edit.path[:missing]
        if is_free(parent, OmegaConf.to_container(config, resolve=False)):
            known = OmegaConf.select(config, ".".join(parent)) or {}
            hint = did_you_mean(edit.path[missing], map(str, known))
            return f"no '{edit.path[missing]}' here.{hint} A new one is added with +KEY=VALUE."
        if not parent and edit.path[0] not in RunSpec.model_fields:
            return f"unknown key.{did_you_mean(edit.path[0], [*RunSpec.model_fields, *folders.groups])}"
    if missing is None:
        parent = _node_at(config, edit.path[:-1])
        _make_room(parent, edit.path[-1], edit.value)
    OmegaConf.update(config, edit.key, edit.value, merge=True, force_add=True)
    return None


def _make_room(parent: Any, key: Any, value: Any) -> None:
    """Remove a list where keys and values are to stand, and the other way round: OmegaConf cannot merge these.

    The specs decide later whether the new value may stand there.
    """
    from omegaconf import OmegaConf

    if not isinstance(value, dict | list):
        return
    place = int(key) if OmegaConf.is_list(parent) else key
    child = parent._get_node(place)
    if OmegaConf.is_config(child) and OmegaConf.is_list(child) != isinstance(value, list):
        parent[place] = None
    elif OmegaConf.is_dict(child) and not child._is_none() and not child._is_interpolation():
        for name in set(value) & set(child.keys()):
            _make_room(child, name, value[name])


def _node_at(config: DictConfig, path: tuple[str, ...]) -> Any:
    """Return the node at a path that exists, with its interpolations as they were written."""
    from omegaconf import OmegaConf

    node: Any = config
    for part in path:
        node = node._get_node(int(part) if OmegaConf.is_list(node) else part)
    return node


def _delete(config: DictConfig, edit: Override, missing: int | None) -> str | None:
    from omegaconf import OmegaConf

    if missing is not None:
        return "is not there"
    parent = OmegaConf.select(config, ".".join(edit.path[:-1])) if len(edit.path) > 1 else config
    if not OmegaConf.is_dict(parent):
        return "is an element of a list; write the list as it is to be"
    del parent[edit.path[-1]]
    return None


def _missing_part(config: DictConfig, path: tuple[str, ...]) -> int | None:
    """Find the first part of the path that is missing in the configuration; None when all are there."""
    from omegaconf import OmegaConf

    node: Any = config
    for position, part in enumerate(path):
        if OmegaConf.is_dict(node) and part in node.keys():  # noqa: SIM118 (`in` of OmegaConf resolves the value)
            node = node._get_node(part)
        elif OmegaConf.is_list(node) and part.isdigit() and int(part) < len(node):
            node = node._get_node(int(part))
        else:
            return position
    return None
