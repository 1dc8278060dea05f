"""One composition: Hydra chooses and merges the files, then single values are changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proml_kedro.config.defaults import check_defaults, read_main
from proml_kedro.config.folders import MAIN, PERSONAL, Folders
from proml_kedro.config.overrides import Change
from proml_kedro.config.provenance import Layer, Origins
from proml_kedro.config.spec_paths import is_free
from proml_kedro.errors import Mistake, UserError, did_you_mean, unknown
from proml_kedro.spec.run import RunSpec

if TYPE_CHECKING:
    from omegaconf import DictConfig

_HYDRA = threading.RLock()
"""Hydra composes through objects that the whole process shares."""

NAMED = {"problem": ("problem",), "model": ("model",), "model@evaluation.baseline": ("evaluation", "baseline")}
"""Groups whose chosen file gives its name to what is in it, and where that is."""


@dataclass(frozen=True)
class Composition:
    """What came of the files and overrides.

    Attributes:
        config: The values, interpolations not yet resolved.
        origins: Where each key came from.
        mistakes: Overrides that could not be applied.
        doubtful: Groups of which another file than the wished one was taken; what is wrong there may not be the user's.
    """

    config: DictConfig
    origins: Origins
    mistakes: list[Mistake]
    doubtful: frozenset[str] = frozenset()


def compose(folders: Folders, changes: Sequence[Change]) -> Composition:
    """Compose ``config.yaml`` with the wished files, then change the wished values.

    Raises:
        UserError: The files themselves do not fit together, or cannot be read.
    """
    choices = [change for change in changes if _is_choice(change, folders)]
    wrong = {choice.group: mistake for choice in choices if (mistake := _check_choice(choice, folders))}
    right = [choice for choice in choices if choice.group not in wrong]
    main = read_main(folders)
    found = check_defaults(main, folders, {choice.group for choice in choices})
    if found:
        raise UserError(*wrong.values(), *found)
    if not any(choice.group == "env" for choice in right):
        right += _without_foreign_files(main, folders)
    config, layers = _run_hydra(folders, right, list(wrong.values()))
    doubtful = frozenset(group.partition("@")[0] for group in wrong)
    edits = [change for change in changes if change not in choices and change.path[0] not in doubtful]
    add_defaults(config)
    mistakes, applied = _apply(config, edits, folders)
    origins = Origins(layers, applied, main=f"{folders.label(folders.own / MAIN)}:1")
    return Composition(config, origins, [*wrong.values(), *mistakes], doubtful)


def _is_choice(change: Change, folders: Folders) -> bool:
    return (change.key in folders.groups or change.package is not None) and not isinstance(change.value, dict)


def _check_choice(choice: Change, folders: Folders) -> Mistake | None:
    if choice.key not in folders.groups:
        return Mistake("", unknown("group", choice.key, folders.groups), choice.where)
    if choice.mode == "force":
        return Mistake("", f"write {choice.group}=NAME, or +{choice.group}=NAME for a group that is new", choice.where)
    if choice.value is None:
        return None
    options = folders.options(choice.key)
    if str(choice.value) not in options:
        return Mistake("", unknown(choice.key, str(choice.value), options), choice.where)
    return None


def _without_foreign_files(main: Any, folders: Folders) -> list[Change]:
    """Personal groups have no fallback: what stands in the shipped folder belongs to another project."""
    return [
        Change(group, None, "")
        for group, option in main.choices.items()
        if group in PERSONAL
        and option is not None
        and option not in folders.options(group)
        and folders.file(f"{group}/{option}")  # Hydra leaves out by itself what is nowhere, and cannot do it twice
    ]


def _run_hydra(folders: Folders, choices: list[Change], mistakes: list[Mistake]) -> tuple[DictConfig, list[Layer]]:
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from proml_kedro.config.hydra_errors import explain

    overrides = [_search_path(folders), *map(_as_override, choices)]
    with _HYDRA:
        _restore_resolvers()
        try:
            with hydra.initialize_config_dir(str(folders.own), version_base="1.3", job_name="config"):
                config = hydra.compose("config", overrides, return_hydra_config=True)
                loader = GlobalHydra.instance().config_loader()
                defaults = loader.compute_defaults_list("config", overrides, RunMode.RUN).defaults
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
            raise UserError(*mistakes, *explain(error, folders, choices)) from error
    chosen = dict(config.hydra.runtime.choices)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    _name(config, chosen)
    return config, [layer for default in defaults if (layer := _layer(default, folders))]


def _search_path(folders: Folders) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    paths = [QuotedString(f"file://{folder}", Quote.single).with_quotes() for folder in folders.others]
    return f"hydra.searchpath=[{','.join(paths)}]"


def _as_override(choice: Change) -> str:
    if choice.mode == "delete" or choice.value is None:
        return f"~{choice.group}"
    return f"{'+' if choice.mode == 'add' else ''}{choice.group}={choice.value}"


def _restore_resolvers() -> None:
    # Kedro's own loader takes `oc.env` away from the whole process.
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    if not OmegaConf.has_resolver("oc.env"):
        OmegaConf.register_new_resolver("oc.env", oc.env)


def _layer(default: Any, folders: Folders) -> Layer | None:
    file = folders.file(default.config_path) if default.config_path else None
    if file is None:
        return None
    return Layer(tuple(default.package.split(".")) if default.package else (), file, folders.label(file))


def _name(config: DictConfig, chosen: dict[str, str | None]) -> None:
    """Problems and models are called after their files, and a group without content is no key."""
    from omegaconf import OmegaConf

    for group, path in NAMED.items():
        node = OmegaConf.select(config, ".".join(path))
        name = chosen.get(group)
        if name and OmegaConf.is_dict(node) and "name" not in node:
            node["name"] = name.rpartition("/")[2]
    for group in PERSONAL:
        if group in config and not config[group]:
            del config[group]


def add_defaults(config: DictConfig) -> None:
    """What nobody wrote at the top has the specs' defaults, so that pipelines and catalog can refer to it."""
    for name, field in RunSpec.model_fields.items():
        if name not in config and not field.is_required():
            default = field.get_default(call_default_factory=True)
            config[name] = default.model_dump(mode="json") if hasattr(default, "model_dump") else default


def _apply(config: DictConfig, edits: list[Change], folders: Folders) -> tuple[list[Mistake], list[Change]]:
    from omegaconf.errors import OmegaConfBaseException

    mistakes: list[Mistake] = []
    applied: list[Change] = []
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


def _apply_one(config: DictConfig, edit: Change, folders: Folders) -> str | None:
    """Change one value; the problem in words when that is impossible."""
    from omegaconf import OmegaConf

    if edit.path[0] == "hydra":
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
    """Take away a list where there are to be keys and values, and the other way round: these cannot be merged.

    Whether the new value may stand there is for the specs to say.
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
    """The node at a path that is there, as it was written."""
    from omegaconf import OmegaConf

    node: Any = config
    for part in path:
        node = node._get_node(int(part) if OmegaConf.is_list(node) else part)
    return node


def _delete(config: DictConfig, edit: Change, missing: int | None) -> str | None:
    from omegaconf import OmegaConf

    if missing is not None:
        return "is not there"
    parent = OmegaConf.select(config, ".".join(edit.path[:-1])) if len(edit.path) > 1 else config
    if not OmegaConf.is_dict(parent):
        return "is an element of a list; write the list as it is to be"
    del parent[edit.path[-1]]
    return None


def _missing_part(config: DictConfig, path: tuple[str, ...]) -> int | None:
    """Position of the first part of the path that the configuration lacks; None when it has all."""
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
