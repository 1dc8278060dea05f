"""Kedro's configuration as one Hydra composition, checked before anything runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from kedro.config import AbstractConfigLoader, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from proml_kedro.config.checks import find_targets, import_extensions
from proml_kedro.config.folder import open_conf, shipped_conf
from proml_kedro.config.hydra_errors import explain
from proml_kedro.config.mistakes import read
from proml_kedro.config.overrides import as_overrides
from proml_kedro.config.provenance import Provenance, Source
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.spec.run import RunSpec, check

# The group whose chosen file gives its name to the node at this path.
_NAMED = {"problem": "problem", "model": "model", "model@evaluation.baseline": "evaluation.baseline"}

OVERRIDES = "overrides"
"""Kedro's runtime parameter that holds Hydra's overrides, word for word."""

RESOLVED = "resolved"
"""Kedro's runtime parameter that names a file with a resolved configuration, to be used instead of a composition."""

_CONFIG = "config"
_NOT_PARAMETERS = frozenset({"catalog"})
_HYDRA = threading.RLock()  # Hydra composes through process-wide singletons


class HydraConfigLoader(AbstractConfigLoader):
    """Composes ``config.yaml`` and serves it under Kedro's keys.

    ``catalog`` is the node of that name and ``parameters`` every other node. ``credentials`` come from
    ``<conf>/<env>/credentials.yml``, outside of the composition, so that no printed or stored one holds a secret.

    Args:
        conf_source: The folder, or an archive of it.
        env: Option of the group ``env``; the one in the defaults list when None.
        runtime_params: Values to change, nested; ``overrides`` holds such as Hydra writes them.
        default_run_env: Where credentials are when no ``env`` is given.
        restrict_runtime_params_type_selection: Whether the parameters come from a request, which may not choose
            datasets or settings of Hydra.
    """

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: Mapping[str, Any] | None = None,
        *,
        default_run_env: str = "local",
        restrict_runtime_params_type_selection: bool = False,
        **_: Any,
    ) -> None:
        super().__init__(str(conf_source), env, dict(runtime_params or {}))
        self.default_run_env = default_run_env
        self._restricted = restrict_runtime_params_type_selection
        self._folder: Path | None = None
        self._config: dict[str, Any] | None = None
        self._provenance: Provenance | None = None

    @property
    def folder(self) -> Path:
        """The folder of the configuration; an archive is unpacked into a temporary one."""
        if self._folder is None:
            self._folder = open_conf(self.conf_source)
        return self._folder

    @property
    def config(self) -> dict[str, Any]:
        """The composition with its interpolations resolved, composed and checked on first use.

        Raises:
            UserError: Something in it cannot work; all such things at once.
        """
        if self._config is None:
            self._config = self._resolved() or self._compose()
        return self._config

    def where(self, key: str) -> str | None:
        """File and line, or override, that a key came from; of its nearest parent when nobody wrote the key itself."""
        return self._provenance.where(key) if self._provenance else None

    def __getitem__(self, key: str) -> dict[str, Any]:
        """``catalog``, ``parameters``, ``credentials``, or a node of the composition.

        Raises:
            KeyError: There is no such node.
            MissingConfigException: There are no credentials.
            UserError: The configuration cannot work.
        """
        if key in self.data:  # set by hand, in a notebook or a test
            return dict(super().__getitem__(key))
        if key == "credentials":
            return self._credentials()
        if key == "parameters":
            nodes = {name: value for name, value in self.config.items() if name not in _NOT_PARAMETERS}
            return {**nodes, "base_path": str(self._base_path())}
        if key not in self.config:
            raise KeyError(f"No '{key}' in the configuration composed from {self.conf_source}")
        node: dict[str, Any] = self.config[key]
        return node

    def keys(self) -> list[str]:  # type: ignore[override]
        """What Kedro may ask for."""
        return ["catalog", "parameters", "credentials"]

    def __repr__(self) -> str:
        return f"HydraConfigLoader(conf_source={self.conf_source!r}, env={self.env!r})"

    def _base_path(self) -> Path:
        """The folder beside the configuration: relative paths of tables begin there."""
        return Path(self.conf_source).resolve().parent

    def _overrides(self) -> list[str]:
        """Every override of this run, in the order in which they hold."""
        params = {name: value for name, value in self.runtime_params.items() if name not in (OVERRIDES, RESOLVED)}
        overrides = [*self.runtime_params.get(OVERRIDES, []), *as_overrides(params)]
        if self._restricted:
            self._refuse_untrusted(overrides)
        return [*([f"env={self.env}"] if self.env else []), *overrides]

    @staticmethod
    def _refuse_untrusted(overrides: Sequence[str]) -> None:
        forbidden = {*_NOT_PARAMETERS, "hydra", "extensions"}
        refused = [one for one in overrides if one.lstrip("+~").split("=")[0].split(".")[0].split("@")[0] in forbidden]
        refused += [one for one in overrides if "${" in one]
        if refused:
            raise UserError(*(Mistake("", "a request may not set this", f"override '{one}'") for one in refused))

    def _compose(self) -> dict[str, Any]:
        overrides, folders = self._overrides(), list(dict.fromkeys([self.folder, shipped_conf()]))
        search = [f"hydra.searchpath=[{','.join(f'file://{one}' for one in folders[1:])}]"]
        with _HYDRA, initialize_config_dir(str(self.folder), version_base="1.3", job_name=_CONFIG):
            loader = GlobalHydra.instance().config_loader()
            try:
                composed = compose(_CONFIG, overrides=[*overrides, *search], return_hydra_config=True)
                self._check_env(loader, composed)
            except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
                raise UserError(*explain(error, loader, _CONFIG, overrides, folders)) from error
            self._provenance = Provenance.of(loader, folders, _CONFIG, [*overrides, *search])
        config = self._plain(composed)
        self._check(config)
        return config

    def _check_env(self, loader: ConfigLoader, composed: DictConfig) -> None:
        """Hydra skips an optional default that is missing in silence, and the group ``env`` is one."""
        chosen, known = composed.hydra.runtime.choices.get("env"), loader.get_group_options("env")
        if chosen and chosen not in known:
            where = f"option '--env={chosen}'" if chosen == self.env else f"override 'env={chosen}'"
            raise UserError(Mistake("", unknown("env", chosen, known), where))

    def _plain(self, composed: DictConfig) -> dict[str, Any]:
        """Plain values, with the names that follow from the files chosen, and without Hydra's own part."""
        for group, path in _NAMED.items():
            node, choice = OmegaConf.select(composed, path), composed.hydra.runtime.choices.get(group)
            if isinstance(node, DictConfig) and "name" not in node and choice:
                OmegaConf.update(composed, f"{path}.name", Path(choice).name, force_add=True)
        mistakes, config = [], {}
        for name in map(str, composed):
            if name == "hydra":
                continue
            try:
                node = composed._get_node(name)
                is_node = OmegaConf.is_config(node)
                config[name] = (
                    OmegaConf.to_container(node, resolve=True, throw_on_missing=True) if is_node else composed[name]
                )
            except OmegaConfBaseException as error:
                mistakes.append(Mistake(error.full_key or name, str(error).splitlines()[0]))
        self._raise(mistakes)
        return config

    def _resolved(self) -> dict[str, Any] | None:
        """The configuration of an earlier run, when a runtime parameter names one.

        Raises:
            UserError: The file cannot be read, or there are overrides beside it.
        """
        file = self.runtime_params.get(RESOLVED)
        if file is None:
            return None
        others = sorted(set(self.runtime_params) - {RESOLVED})
        if others or self.env:
            raise UserError(Mistake("", "a run is repeated as it was, without overrides, parameters and --env", file))
        try:
            content = yaml.safe_load(Path(file).read_text())
            config: dict[str, Any] = content["config"]
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise UserError(Mistake("", f"holds no configuration to repeat ({error})", str(file))) from error
        self._provenance = Provenance([Source(Path(file), str(file), (), ("config",))], [])
        self._check(config)
        return config

    def _check(self, config: dict[str, Any]) -> None:
        """Check every value, then what the parts demand of each other.

        Raises:
            UserError: All that is wrong.
        """
        self._raise(find_targets(config))
        self._raise(import_extensions(config.get("extensions") or []))
        content = {name: value for name, value in config.items() if name not in _NOT_PARAMETERS}
        try:
            run = RunSpec.model_validate(content)
        except ValidationError as error:
            self._raise(list(read(error, content, RunSpec)))
            raise
        self._raise(check(run))

    def _raise(self, mistakes: Sequence[Mistake]) -> None:
        if mistakes:
            error = UserError(*mistakes)
            error.locate(self.where)
            raise error

    def _credentials(self) -> dict[str, Any]:
        file = self.folder / (self.env or self.default_run_env) / "credentials.yml"
        if not file.is_file():
            raise MissingConfigException(f"No credentials in {file}")
        return dict(yaml.safe_load(file.read_text()) or {})
