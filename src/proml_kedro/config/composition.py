"""One composition: Hydra chooses and merges the files, then single values are changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proml_kedro.config.apply_overrides import apply_overrides
from proml_kedro.config.catalog import KEY as CATALOG
from proml_kedro.config.defaults import NEEDED, Main, check_defaults, chooses_none, read_main
from proml_kedro.config.folders import MAIN, PERSONAL, Folders
from proml_kedro.config.interpolation import resolve
from proml_kedro.config.overrides import Override
from proml_kedro.config.plain_parts import Place, PlainPart, are_alone, put_back
from proml_kedro.config.provenance import Layer, Origins
from proml_kedro.config.secrets import environment
from proml_kedro.config.yaml_size import check_size
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.spec.run import RunSpec

if TYPE_CHECKING:
    from omegaconf import DictConfig

_HYDRA = threading.RLock()
"""Hydra composes through objects that the whole process shares."""

NAMED = {"problem": ("problem",), "model": ("model",), "model@evaluation.baseline": ("evaluation", "baseline")}
"""Groups whose chosen file gives its name to what is in it, and where that is."""


@dataclass(frozen=True)
class Composition:
    """The values that files and overrides make together.

    Attributes:
        config: The values, interpolations not yet resolved.
        origins: Where each key came from.
        mistakes: Overrides that could not be applied.
        doubtful: Groups whose chosen file does not exist, so that another one was taken: a mistake there may not be the
            user's.
        parts: Large parts that are nothing but values, by the place of the word that stands for them in ``config``.
    """

    config: DictConfig
    origins: Origins
    mistakes: list[Mistake]
    doubtful: frozenset[str] = frozenset()
    parts: Mapping[Place, PlainPart] = field(default_factory=dict)

    def written(self) -> Any:
        """Return all as plain values, interpolations as they were written."""
        values = _written(self.config)
        put_back(values, self.parts)
        return values

    def resolved(self) -> tuple[dict[str, Any], list[Mistake], list[Mistake]]:
        """Return all as plain values, interpolations resolved, and mistakes: see :func:`interpolation.resolve`."""
        values, mistakes, consequences = resolve(self.config)
        put_back(values, self.parts)
        return values, mistakes, consequences


def compose(folders: Folders, overrides: Sequence[Override]) -> Composition:
    """Compose ``config.yaml`` with the chosen files, then change single values.

    Raises:
        UserError: The files themselves do not fit together, or cannot be read.
    """
    if endless := [mistake for file in folders.files() for mistake in check_size(file, folders.label(file))]:
        raise UserError(*endless)
    choices = [one for one in overrides if _is_choice(one, folders)]
    wrong = {choice.group: mistake for choice in choices if (mistake := _check_choice(choice, folders))}
    right = [choice for choice in choices if choice.group not in wrong]
    main = read_main(folders)
    found = check_defaults(main, folders, {choice.group for choice in choices})
    if found:
        raise UserError(*wrong.values(), *found)
    if not any(choice.group == "env" for choice in right):
        right += _without_foreign_files(main, folders)
    right += _implied(main, folders, {choice.group for choice in choices})
    doubtful = frozenset(group.partition("@")[0] for group in wrong)
    edits = [one for one in overrides if one not in choices and one.path[0] not in doubtful]
    config, layers, parts = _run_hydra(folders, right, edits, list(wrong.values()))
    add_defaults(config)
    mistakes, applied = apply_overrides(config, edits, folders)
    origins = Origins(layers, applied, main=f"{folders.label(folders.own / MAIN)}:1")
    return Composition(config, origins, [*wrong.values(), *mistakes], doubtful, parts)


def _is_choice(override: Override, folders: Folders) -> bool:
    return (override.key in folders.groups or override.package is not None) and not isinstance(override.value, dict)


def _check_choice(choice: Override, folders: Folders) -> Mistake | None:
    if choice.key not in folders.groups:
        return Mistake("", unknown("group", choice.key, folders.groups), choice.where)
    if choice.mode == "force":
        return Mistake("", f"write {choice.group}=NAME, or +{choice.group}=NAME for a group that is new", choice.where)
    options = folders.options(choice.key)
    if choice.value is None:
        is_needed = choice.group in NEEDED and choice.mode != "delete"
        return Mistake("", chooses_none(choice.group, options), choice.where) if is_needed else None
    if str(choice.value) not in options:
        return Mistake("", unknown(choice.key, str(choice.value), options), choice.where)
    return None


def _without_foreign_files(main: Main, folders: Folders) -> list[Override]:
    """Deselect files of personal groups that only the shipped folder has: they belong to another project."""
    return [
        Override(group, None, "")
        for group, option in main.choices.items()
        if group in PERSONAL
        and option is not None
        and option not in folders.options(group)
        and folders.file(f"{group}/{option}")  # Hydra leaves out by itself what is nowhere, and cannot do it twice
    ]


def _implied(main: Main, folders: Folders, chosen: set[str]) -> list[Override]:
    """Choose the shipped catalog where ``config.yaml`` neither names one nor holds one: only few need another."""
    if CATALOG in {*main.choices, *main.keys, *chosen} or "default" not in folders.options(CATALOG):
        return []
    return [Override(CATALOG, "default", "", mode="add")]


def _run_hydra(
    folders: Folders, choices: list[Override], edits: Sequence[Override], mistakes: list[Mistake]
) -> tuple[DictConfig, list[Layer], dict[Place, PlainPart]]:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from proml_kedro.config.hydra_errors import explain
    from proml_kedro.config.hydra_files import compose_files

    arguments = list(map(_as_argument, choices))
    with _HYDRA:
        _restore_resolvers()
        try:
            composed = compose_files(folders.own, folders.others, arguments, whole=False)
            layers = [layer for default in composed.files if (layer := _layer(default, folders))]
            parts = _plain_parts(composed.config, layers, edits)
            if parts is None:
                parts, composed = {}, compose_files(folders.own, folders.others, arguments)
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
            raise UserError(*mistakes, *explain(error, folders, choices)) from error
    _name(composed.config, composed.choices)
    return composed.config, layers, parts


def _plain_parts(
    config: DictConfig, layers: Sequence[Layer], edits: Sequence[Override]
) -> dict[Place, PlainPart] | None:
    """Find the parts that were taken out of files; None when one of them may not have been."""
    from proml_kedro.config.hydra_files import parsed

    contents = [(layer.package, parsed(layer.file)) for layer in layers]
    parts = {(*package, *part.path): part for package, one in contents for part in one.parts}
    if not parts:
        return parts
    known = [(package, one.content) for package, one in contents]
    changed = [(edit.path, edit.value) for edit in edits]
    return parts if are_alone(parts, known, _written(config), changed) else None


def _written(config: DictConfig) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=False)


def _as_argument(choice: Override) -> str:
    if choice.mode == "delete" or choice.value is None:
        return f"~{choice.group}"
    return f"{'+' if choice.mode == 'add' else ''}{choice.group}={choice.value}"


def _restore_resolvers() -> None:
    # Kedro's own loader takes `oc.env` away from the whole process.
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("oc.env", environment, replace=True)


def _layer(default: Any, folders: Folders) -> Layer | None:
    file = folders.file(default.config_path) if default.config_path else None
    if file is None:
        return None
    return Layer(tuple(default.package.split(".")) if default.package else (), file, folders.label(file))


def _name(config: DictConfig, chosen: dict[str, str | None]) -> None:
    """Name problems and models after their files, and remove groups without content."""
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
    """Fill in the specs' defaults of missing keys at the top, so that pipelines and catalog can refer to them."""
    for name, one in RunSpec.model_fields.items():
        if name not in config and not one.is_required():
            default = one.get_default(call_default_factory=True)
            config[name] = default.model_dump(mode="json") if hasattr(default, "model_dump") else default
