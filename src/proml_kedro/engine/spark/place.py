"""Where the engine is, and whether this machine can talk to it; checked before anything runs."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from proml_kedro.errors import UserError
from proml_kedro.spec.hardware import EngineSpec, HardwareSpec

KEY = "hardware.engine"
"""Where the engine stands in the configuration."""

VARIABLE = "SPARK_REMOTE"
"""Variable of the environment with the address of a server, which may hold a token."""

_CLIENT, _SAIL = "4.2", "0.7"
"""Versions that were tried together: the client of Spark 4.3 is refused by Sail 0.7."""

_PORT = 15002
_SECONDS = 5.0


@dataclass(frozen=True)
class Place:
    """Where queries run.

    Attributes:
        url: Address of the server, for the client alone: it may hold a token. None for Sail inside of this process.
        key: Where it stands in the configuration.
    """

    url: str | None
    key: str

    @property
    def host(self) -> tuple[str, int]:
        """Host and port."""
        match = re.match(r"sc://(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:/;]+))(?::(?P<port>\d+))?", self.url or "")
        if match is None:
            raise UserError.at(self.key, "must be of the form sc://host:15002")
        return match["six"] or match["host"], int(match["port"] or _PORT)

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is."""
        return re.search(r";\s*use_ssl\s*=\s*true\b", self.url or "", re.IGNORECASE) is not None

    @property
    def in_words(self) -> str:
        """The place without what is secret."""
        return "Sail in this process" if self.url is None else "{}:{}".format(*self.host)


def place_of(engine: EngineSpec, environment: Mapping[str, str] = os.environ) -> Place:
    """Return where queries run: at the address that is configured, or the environment's, or in this process.

    Raises:
        UserError: There is no address.
    """
    if engine.url is not None:
        return Place(engine.url, f"{KEY}.url")
    if environment.get(VARIABLE):
        return Place(environment[VARIABLE], VARIABLE)
    if engine.kind == "spark":
        raise UserError.at(f"{KEY}.url", f"is missing; write url: sc://host:15002, or set {VARIABLE}")
    return Place(None, f"{KEY}.kind")


def check_engine(hardware: HardwareSpec) -> None:
    """Check that the engine is installed, of versions that fit, and can be reached.

    Raises:
        UserError: It is not.
    """
    if hardware.engine is None:
        return
    place = place_of(hardware.engine)
    _check_version("pyspark-client", _CLIENT)
    if place.url is None:
        _check_version("pysail", _SAIL)
    else:
        _check_reachable(place)


def _check_version(package: str, wanted: str) -> None:
    try:
        found = version(package)
    except PackageNotFoundError:
        message = f"needs the package {package}; install proml_kedro[spark], or choose hardware=cpu"
        raise UserError.at(KEY, message) from None
    if not found.startswith(f"{wanted}."):
        raise UserError.at(KEY, f"needs {package} {wanted}, and {found} is installed; install proml_kedro[spark]")


def _check_reachable(place: Place) -> None:
    host, port = place.host
    if not place.is_encrypted and not _is_here(host):
        message = f"{host} is another machine, and the connection is not encrypted; add ;use_ssl=true to its address"
        raise UserError.at(place.key, message)
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except OSError as error:
        raise UserError.at(place.key, f"nothing answers at {host}:{port}: {error}") from error


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
