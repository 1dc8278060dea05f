"""Kedro's configuration loader, by Hydra."""

from __future__ import annotations

import threading
from collections.abc import KeysView, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import AbstractConfigLoader

from proml_kedro.config.credentials import credentials_named, read_credentials
from proml_kedro.config.folders import ConfSource, Folders
from proml_kedro.config.overrides import Override, from_params, parse, place_of
from proml_kedro.config.request_policy import refuse_from_requests
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.config.composition import Composition
    from proml_kedro.config.configuration import Configuration
    from proml_kedro.results import Places

OVERRIDES = "overrides"
"""The runtime parameter under which the command line passes overrides, as they were written."""

RESOLVED = "resolved"
"""The runtime parameter with a YAML file whose configuration is used instead of a composition."""

_KEYS = ("catalog", "parameters", "credentials")


class HydraConfigLoader(AbstractConfigLoader):
    """Compose ``config.yaml`` of a ``conf`` folder and serve it under Kedro's keys.

    ``catalog`` is the node of that name, ``parameters`` every other node, and ``credentials`` are read from
    ``<env>/credentials.yml``, outside the composition, so that nothing printed or stored holds a secret.

    Args:
        conf_source: The folder, or a ``.tar.gz`` or ``.zip`` file of one.
        env: File of the group ``env`` to compose.
        runtime_params: Values to change: nested, or under ``overrides`` in Hydra's grammar, or ``resolved``: the path
            of a file with a whole resolved configuration.
        default_run_env: Whose credentials are used when no environment is given.
        restrict_runtime_params_type_selection: Whether the parameters come from a request, to be trusted less.

    Raises:
        UserError: On first use of a key, with everything that is wrong.
    """

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: Mapping[str, Any] | None = None,
        *,
        default_run_env: str = "local",
        restrict_runtime_params_type_selection: bool = False,
    ) -> None:
        super().__init__(str(conf_source), env, dict(runtime_params or {}))
        self._default_env = default_run_env
        self._untrusted = restrict_runtime_params_type_selection
        self._lock = threading.Lock()
        self._source: ConfSource | None = None
        self._loaded: Configuration | None = None

    @property
    def overrides(self) -> list[str]:
        """The changes to the configuration as they were written, and those of other runtime parameters."""
        written = self.runtime_params.get(OVERRIDES) or []
        others = [f"{name}={value}" for name, value in self.runtime_params.items() if name != OVERRIDES]
        return [*([written] if isinstance(written, str) else map(str, written)), *others]

    @property
    def loaded(self) -> Configuration:
        """The composed and checked configuration; it is composed on first use.

        Raises:
            UserError: With everything that is wrong.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    @property
    def config(self) -> dict[str, Any]:
        """The plain values, interpolations resolved; do not change them."""
        return self.loaded.values

    @property
    def base_path(self) -> Path:
        """The folder that holds ``conf``; relative paths in YAML begin there."""
        return self._conf.base_path

    def where(self, key: str) -> str | None:
        """Find where a key, or its nearest parent, was written: ``conf/problem/flights.yaml:7``, ``override 'seed=x'``.

        Args:
            key: Dotted path; None comes back for the empty one.
        """
        return self.loaded.composition.origins.where(key)

    def places(self, base: Path) -> Places:
        """Find where results lie, of every problem and model, as the catalog says.

        Args:
            base: The folder that relative places begin at: the project's.
        """
        from proml_kedro.config.result_places import result_places

        return result_places(self.loaded.composition.config, self.loaded.run, base)

    def __getitem__(self, key: str) -> Any:
        """Return what Kedro asks for: ``catalog``, ``parameters``, ``credentials``, or a node of the composition.

        Raises:
            KeyError: There is no such key.
            MissingConfigException: There are no credentials for the environment.
            UserError: The configuration is not sound.
        """
        if key in self.data:  # set by hand, in a notebook or a test
            return self.data[key]
        if key == "credentials":
            return self._credentials()
        values = self.loaded.values
        if key == "parameters":
            parameters = {name: value for name, value in values.items() if name != "catalog"}
            return {**deepcopy(parameters), "base_path": str(self._conf.base_path)}
        if key == "catalog":
            return deepcopy(values.get("catalog") or {})
        return deepcopy(values[key])

    def credentials(self, name: str) -> dict[str, Any]:
        """Return the values of a name in ``credentials.yml``. No message shows them from then on.

        Raises:
            UserError: There is no such file or name, or it holds no keys and values.
        """
        return credentials_named(name, self._credentials_file())

    def keys(self) -> KeysView[str]:
        """Name the keys that Kedro asks for."""
        return dict.fromkeys((*_KEYS, *self.data)).keys()

    def __repr__(self) -> str:
        return f"HydraConfigLoader(conf_source={self.conf_source!r}, env={self.env!r})"

    @property
    def _conf(self) -> ConfSource:
        if self._source is None:
            self._source = ConfSource(str(self.conf_source))
        return self._source

    def _load(self) -> Configuration:
        # Hydra and the specs are imported by what first needs them: `kedro run --help` does not.
        from proml_kedro.config.composition import compose
        from proml_kedro.config.stored_config import read_resolved

        folders = Folders.of(self._conf.folder)
        if RESOLVED in self.runtime_params:
            file = self._resolved_file()
            return self._check(read_resolved(file, folders))
        overrides, mistakes = self._overrides()
        try:
            composition = compose(folders, overrides)
        except UserError as error:
            raise UserError(*mistakes, *error.mistakes) from error
        except RecursionError:
            raise UserError(*mistakes, Mistake("", "values are nested too deeply", "configuration")) from None
        return self._check(composition, mistakes)

    def _check(self, composition: Composition, mistakes: Sequence[Mistake] = ()) -> Configuration:
        from proml_kedro.config.configuration import check_composition

        return check_composition(composition, self._conf.base_path, self._conf.folder, mistakes)

    def _overrides(self) -> tuple[list[Override], list[Mistake]]:
        params = dict(self.runtime_params)
        written = params.pop(OVERRIDES, None) or []
        overrides, mistakes = parse([written] if isinstance(written, str) else map(str, written))
        more, wrong = from_params(params)
        overrides = [*overrides, *more]
        if self._untrusted and (refused := refuse_from_requests(overrides)):
            raise UserError(*refused)
        return [*self._env_choice(), *overrides], [*mistakes, *wrong]

    def _env_choice(self) -> list[Override]:
        return [Override("env", self.env, f"--env {self.env}")] if self.env else []

    def _resolved_file(self) -> Path:
        name = str(self.runtime_params[RESOLVED])
        where = place_of(f"{RESOLVED}={name}")
        if self._untrusted:
            raise UserError(Mistake("", "not allowed in a request", where))
        if len(self.runtime_params) > 1:
            others = ", ".join(sorted(set(self.runtime_params) - {RESOLVED}))
            raise UserError(Mistake("", f"a resolved configuration is taken whole; leave out {others}", where))
        candidates = [Path(name).expanduser(), self._conf.base_path / name]
        file = next((one for one in candidates if one.is_file()), None)
        if file is None:
            raise UserError(Mistake("", f"there is no file {name}", where))
        return file

    def _credentials(self) -> dict[str, Any]:
        return read_credentials(self._credentials_file())

    def _credentials_file(self) -> Path:
        return self._conf.folder / (self._chosen_env() or self._default_env) / "credentials.yml"

    def _chosen_env(self) -> str | None:
        written = self.runtime_params.get(OVERRIDES) or []
        overrides, _ = parse([one for one in map(str, written) if one.startswith("env=")])
        return str(overrides[-1].value) if overrides else self.env
