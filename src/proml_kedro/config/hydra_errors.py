"""From what Hydra raises to one line for the person who wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from proml_kedro.errors import Mistake, did_you_mean, unknown


def explain(
    error: Exception, loader: ConfigLoader, name: str, overrides: Sequence[str], folders: Sequence[Path]
) -> list[Mistake]:
    """What is wrong, and what to write instead: every override that cannot stand, or the one thing that is broken."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return [Mistake("", str(error.problem), f"{_shown(mark.name, folders)}:{mark.line + 1}")]
    if isinstance(error, OverrideParseException):
        return [_unreadable(error)]
    found = list(_bad_overrides(loader, name, overrides))
    if found:
        return found
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return [_missing(error, loader)]
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    return [Mistake(getattr(cause, "full_key", None) or "", (str(cause) or type(cause).__name__).splitlines()[0])]


def _shown(file: str, folders: Sequence[Path]) -> str:
    for folder in folders:
        if Path(file).is_relative_to(folder):
            return f"{folder.name}/{Path(file).relative_to(folder)}"
    return file


def _unreadable(error: OverrideParseException) -> Mistake:
    return Mistake("", f"cannot be read: {error.message.splitlines()[0]}", f"override '{error.override}'")


def _missing(error: MissingConfigException, loader: ConfigLoader) -> Mistake:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    return Mistake(
        "", unknown(group or "file", option, loader.get_group_options(group) if group else []), "config.yaml"
    )


def _bad_overrides(loader: ConfigLoader, name: str, overrides: Sequence[str]) -> Iterator[Mistake]:
    """Compose once for each override, leaving out those that cannot stand, and say why they cannot."""
    kept: list[str] = []
    for text in overrides:
        try:
            loader.load_configuration(name, [*kept, text], RunMode.RUN, from_shell=False)
            kept.append(text)
        except (HydraException, OmegaConfBaseException) as error:
            yield Mistake("", _reason(error, text, loader, name, kept), f"override '{text}'")


def _reason(error: Exception, text: str, loader: ConfigLoader, name: str, kept: Sequence[str]) -> str:
    if isinstance(error, OverrideParseException):
        return f"cannot be read: {error.message.splitlines()[0]}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return unknown(group, option, loader.get_group_options(group))
    if "Ambiguous value" in str(error) or "requires --multirun" in str(error):
        return "names several values; write a list as KEY=[a,b]"
    parsed = OverridesParser.create(loader).parse_override(text)
    if isinstance(error, ConfigCompositionException) and not (parsed.is_add() or parsed.is_force_add()):
        config = loader.load_configuration(name, list(kept), RunMode.RUN, from_shell=False)
        keys = {*loader.list_groups(""), *_paths(config)}
        if parsed.key_or_group not in keys:
            return f"no key '{parsed.key_or_group}'.{_near(parsed.key_or_group, keys)}"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    return str(cause).strip().splitlines()[0]


def _near(key: str, keys: Iterable[str]) -> str:
    """A suggestion: a key beside it of nearly the same name, before one of another part."""
    parent, _, last = key.rpartition(".")
    beside = [one.rpartition(".")[2] for one in keys if one.rpartition(".")[0] == parent]
    return did_you_mean(last, beside) if beside else did_you_mean(key, keys)


def _paths(config: Any, prefix: str = "") -> Iterator[str]:
    for key in config:
        if not prefix and key == "hydra":
            continue
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if OmegaConf.is_dict(node) and not node._is_none() and not node._is_interpolation():
            yield from _paths(node, f"{prefix}{key}.")
