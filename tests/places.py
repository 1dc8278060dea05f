"""A place in a thread of the test, and one that answers whatever the test wants it to."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry

from proml_kedro.serving.frames import frame
from proml_kedro.serving.places.listener import make_protocol
from proml_kedro.serving.places.place_app import PlaceApp, guarded
from proml_kedro.serving.places.work import Work
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec import PlaceSpec

Answered = Callable[[dict[str, Any], bytes], bytes | None]
"""Answers a frame by bytes; None to say nothing and close."""


class CutError(Exception):
    """Raised by what answers: what it says at last, before it closes."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content


MIXED = {
    "trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 20},
    "personal": {
        "kind": "mixed",
        "inputs": ["trees.margin", "shop"],
        "offset": "trees.margin",
        "random_effects": [{"entity": "shop"}],
    },
}


@contextmanager
def placed(bundle: Path, spec: PlaceSpec, token: str | None = None, port: int = 0) -> Iterator[str]:
    """Serve a place from a thread; gives its URL."""
    scorer, registry = BundleScorer(bundle), CollectorRegistry()
    work = Work(scorer, spec, 1000, registry)
    app = guarded(PlaceApp("here", spec, scorer, work, registry), token)
    protocol = make_protocol(work, scorer.bundle.digest, token)
    server = uvicorn.Server(
        uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
    )
    run = server.config.get_loop_factory() or asyncio.new_event_loop  # as a worker has it
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        loop = run()
        thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve([listening])), daemon=True)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
            loop.close()


@contextmanager
def rogue(answered: Answered, status: bytes = b"101 Switching Protocols") -> Iterator[str]:
    """A place that agrees to every bundle, and answers as it is told; gives its URL."""
    is_over = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(20)
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(4096)
                connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
                while not is_over.is_set():
                    asked, body = read(connection)
                    if (said := answered(asked, body)) is None:
                        return
                    connection.sendall(said)
            except CutError as cut:
                connection.sendall(cut.content)
            except OSError:
                return

    def accept() -> None:
        while not is_over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                continue
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join(10)


def read(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    def exactly(size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = connection.recv(size - len(found))
            if not part:
                raise ConnectionResetError
            found += part
        return found

    head, body = struct.unpack(">II", exactly(8))
    return json.loads(exactly(head)), exactly(body)


__all__ = ["MIXED", "CutError", "frame", "placed", "read", "rogue"]
