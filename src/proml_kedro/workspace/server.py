"""The page's server, on this machine's loopback address alone."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from proml_kedro.errors import Mistake, UserError
from proml_kedro.workspace.snapshot import LiveSnapshot

ADDRESS = "127.0.0.1"
_TRIED = 50


def open_port(port: int) -> socket.socket:
    """Listen on a port of the loopback address.

    Args:
        port: The port; 0 for any that is free.

    Raises:
        UserError: The port is in use or not allowed.
    """
    try:
        return _bind(port)
    except OSError as error:
        raise UserError(Mistake("", _explain(error, port), "option --port")) from error


def _bind(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was stopped just now is free
        listening.bind((ADDRESS, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _explain(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        free = _free_after(port)
        return f"port {port} is in use; try --port {free}"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed to you; try --port {_free_after(1024 + port)}"
    return f"cannot listen on port {port}: {error.strerror}"


def _free_after(port: int) -> int:
    """Return the next free port; 0, which lets the system choose, when there is none nearby."""
    for one in range(port + 1, min(port + 1 + _TRIED, 65536)):
        try:
            _bind(one).close()
        except OSError:
            continue
        return one
    return 0


def hosts_of(port: int) -> frozenset[str]:
    """Return the names by which a browser on this machine calls the server."""
    return frozenset(f"{name}:{port}" for name in (ADDRESS, "localhost"))


def serve(live: LiveSnapshot, listening: socket.socket, when_ready: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted.

    Args:
        live: What to show.
        listening: From :func:`open_port`; closed at the end.
        when_ready: Called with the page's address once it can be opened.
    """
    import uvicorn

    from proml_kedro.workspace.app import make_app

    port = listening.getsockname()[1]
    settings = uvicorn.Config(
        make_app(live, hosts_of(port)),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    when_ready(f"http://{ADDRESS}:{port}/")
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    except KeyboardInterrupt:  # how it is meant to be stopped
        pass
    finally:
        listening.close()
