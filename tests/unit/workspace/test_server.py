"""Ports that are free, taken and odd."""

from __future__ import annotations

import re
import socket

import pytest

from proml_kedro.errors import UserError
from proml_kedro.workspace.server import ADDRESS, open_port


def test_any_free_port_on_the_loopback_address_only() -> None:
    with open_port(0) as listening:
        address, port = listening.getsockname()
        assert address == ADDRESS == "127.0.0.1"
        socket.create_connection((ADDRESS, port), 1).close()


def test_a_port_in_use_names_one_that_is_free() -> None:
    with open_port(0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(UserError) as error:
            open_port(port)
        match = re.fullmatch(rf"option --port: port {port} is in use; try --port (\d+)", str(error.value))
        assert match
        open_port(int(match[1])).close()
    open_port(port).close()
