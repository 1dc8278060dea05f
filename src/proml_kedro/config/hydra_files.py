"""How Hydra composes files here: each text is parsed once a process, each defaults list is made once.

Hydra parses twenty files for a composition, most of them its own, which a composition here has no use for; and its
way to the defaults list is to do all that again. A command that composes every model of a project would parse most
files for each. What is kept is found by the whole text of a file: an edit is seen whatever the clock or the file
system says.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from proml_kedro.config.plain_parts import PlainPart, take_out

if TYPE_CHECKING:
    from hydra.core.default_element import ResultDefault
    from omegaconf import DictConfig

_SCHEME, _WHOLE = "parsed-once", "parsed-whole"
_HEADER = 512
"""Characters in which Hydra looks for ``# @package``."""


@dataclass(frozen=True)
class Composed:
    """What Hydra made of files.

    Attributes:
        config: The values, interpolations not yet resolved.
        choices: The file that was chosen, by group.
        files: The files that take part, in the order in which they were merged.
    """

    config: DictConfig
    choices: dict[str, str | None]
    files: Sequence[ResultDefault]


def compose_files(own: Path, others: Sequence[Path], arguments: Sequence[str], *, whole: bool = True) -> Composed:
    """Compose ``config.yaml`` by Hydra; not in two threads at once.

    Args:
        own: The folder with ``config.yaml``.
        others: Further folders, in the order in which they are asked.
        arguments: Choices of files, as Hydra writes them.
        whole: Whether all is composed; otherwise words stand for plain parts of files, which :func:`parsed` has.

    Raises:
        hydra.errors.HydraException: The files do not fit together.
        omegaconf.errors.OmegaConfBaseException: A file has an interpolation that is none.
        yaml.YAMLError: A file is not YAML.
    """
    for source in (_Files, _WholeFiles):
        SourcesRegistry.instance().register(source)
    scheme = _WHOLE if whole else _SCHEME
    paths = [QuotedString(f"{scheme}://{folder}", Quote.single).with_quotes() for folder in others]
    arguments = [f"hydra.searchpath=[{','.join(paths)}]", *arguments]
    with initialize_config_dir(str(own), version_base="1.3", job_name="config"):
        loader = _Loader(_parsed_once(GlobalHydra.instance().config_loader().get_search_path(), scheme))
        try:
            composed = loader.compose(arguments, with_hydra=False)
        except HydraException:  # the files may speak of Hydra's own, as in `override hydra/job_logging: none`
            composed = loader.compose(arguments, with_hydra=True)
    composed.config.pop("hydra", None)
    return composed


def _parsed_once(search_path: Any, scheme: str) -> ConfigSearchPathImpl:
    """Return a search path whose folder of the project is read by :class:`_Files`."""
    path = ConfigSearchPathImpl()
    for one in search_path.get_path():
        path.append(one.provider, f"{scheme}://{one.path.removeprefix('file://')}" if _is_main(one) else one.path)
    return path


def _is_main(element: Any) -> bool:
    return bool(element.provider == "main")


class _Loader(ConfigLoaderImpl):
    """Hydra's loader, by the steps of its ``load_configuration`` that make files and choices into values."""

    def compose(self, arguments: list[str], *, with_hydra: bool) -> Composed:
        self.ensure_main_config_source_available()
        parsed, files = self._parse_overrides_and_create_caching_repo("config", arguments)
        self.validate_sweep_overrides_legal(parsed, RunMode.RUN, from_shell=False)
        chosen = create_defaults_list(files, "config", parsed, prepend_hydra=with_hydra, skip_missing=False)
        config = self._compose_config_from_defaults_list(chosen.defaults, files)
        values = [one for one in chosen.config_overrides if one.key_or_group != "hydra.searchpath"]
        self._apply_overrides_to_config(values, config)
        return Composed(config, dict(chosen.overrides.known_choices), chosen.defaults)


class _Files(FileConfigSource):
    """Hydra's source of files in a folder, which parses each text once, and leaves out plain parts."""

    @staticmethod
    def scheme() -> str:
        return _SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        text = Path(self.path, self._normalize_file_name(config_path)).read_text(encoding="utf-8")
        header = self._get_header_dict(text[:_HEADER])
        return ConfigResult(self.provider, self.full_path(), deepcopy(_parse(text, self.scheme()).config), header)


class _WholeFiles(_Files):
    """The same without leaving anything out."""

    @staticmethod
    def scheme() -> str:
        return _WHOLE


@dataclass(frozen=True)
class Parsed:
    """What a file holds.

    Attributes:
        content: Its values, with words for its plain parts.
        parts: Those parts.
        config: The same content for Hydra.
    """

    content: Any
    parts: Sequence[PlainPart]
    config: Any


def parsed(file: Path) -> Parsed:
    """Return what a file holds, which is parsed but once."""
    return _parse(file.read_text(encoding="utf-8"), _SCHEME)


@lru_cache(maxsize=1024)
def _parse(text: str, scheme: str) -> Parsed:
    content = _load(text)
    content = {} if content is None else content
    content, parts = (content, []) if scheme == _WHOLE else take_out(content)
    return Parsed(content, parts, OmegaConf.create(content))


def _load(text: str) -> Any:
    """Read YAML as OmegaConf does, by the parser in C; what that one refuses is left to OmegaConf's own."""
    if _FastLoader is not None:
        try:
            return yaml.load(text, Loader=_FastLoader)  # noqa: S506 (OmegaConf's loader is a safe one)
        except yaml.YAMLError:
            pass
    return yaml.load(text, Loader=get_yaml_loader())  # noqa: S506


def _fast_loader() -> Any:
    """Make OmegaConf's loader with libyaml's parser under it; None where PyYAML was built without."""
    if not hasattr(yaml, "CSafeLoader"):
        return None

    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class Loader(CParser, get_yaml_loader()):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Loader


_FastLoader = _fast_loader()
