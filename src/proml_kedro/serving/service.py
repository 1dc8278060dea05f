"""A Bento's service, as BentoML sees it: its start is our own server, in the place of BentoML's.

BentoML's server would open a control socket that runs commands of any local user, listen at all addresses, keep figures
for every path that a client makes up, and restart for ever what cannot start. So ``bentoml serve`` loads this service,
which looks what it was asked for, and becomes the process that :mod:`proml_kedro.serving.http.bento` runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import click
from click.core import ParameterSource

from proml_kedro.bundle import BundleOutline
from proml_kedro.errors import Mistake, UserError
from proml_kedro.serving.http.bento import Settings

_HONOURED = frozenset({"bento", "host", "port", "api_workers", "working_dir", "production", "development", "env"})
_CONFIGURATION = ("BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS")


def make_service(source: Path) -> Any:
    """Make the BentoML service of a Bento.

    Args:
        source: The Bento's ``src``, with ``bundle``, ``serving.yaml`` and this package.

    Returns:
        A ``bentoml.Service`` that turns into our server once it is started.
    """

    class Service:
        @bentoml.on_deployment  # type: ignore[untyped-decorator]
        def start() -> None:  # BentoML calls it without an instance, before it opens anything
            _become(source, _settings(source))

    name = BundleOutline.read(source / "bundle").name
    return bentoml.service(name=name.lower())(Service)


def _settings(source: Path) -> Settings:
    """What ``bentoml serve`` was asked for.

    Raises:
        UserError: Something that would be ignored, such as TLS.
    """
    context = click.get_current_context(silent=True)
    given: dict[str, Any] = (
        {}
        if context is None
        else {
            name: value
            for name, value in context.params.items()
            if context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
        }
    )
    message = "is not for this Bento, whose server is its own: src/serving.yaml has its limits, and a proxy does TLS"
    unknown = [f"--{name.replace('_', '-')}" for name in sorted(given.keys() - _HONOURED)]
    unknown += [name for name in _CONFIGURATION if os.environ.get(name)]
    if unknown:
        raise UserError(*(Mistake("", message, name) for name in unknown))
    everywhere = os.environ.get("BENTOML_CONTAINERIZED")  # a port of a container is published from outside
    host = given.get("host") or ("0.0.0.0" if everywhere else "127.0.0.1")  # noqa: S104
    port = given.get("port")
    return Settings(str(source), host, 3000 if port is None else port, given.get("api_workers"))


def _become(source: Path, settings: Settings) -> None:
    """Run our server in this process's place, by the Bento's own copy of the code."""
    path = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}  # nothing is imported from where it runs
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "proml_kedro.serving.http.bento", settings.line()]
    os.execve(sys.executable, command, environment)  # noqa: S606 (our own module, no shell)
