"""Servers as processes of their own, and what they cost; part of serving.py."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

READY_SECONDS = 90


@dataclass
class Server:
    """A server process with its children."""

    process: subprocess.Popen[bytes]
    connection: http.client.HTTPConnection

    def post(self, body: bytes, path: str = "/predict") -> None:
        """Send one request over the connection that is kept."""
        try:
            answer = self._asked(body, path)
        except (OSError, http.client.HTTPException):  # it was idle while others were asked
            self.connection.close()
            answer = self._asked(body, path)
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}: {text[:300]!r}")

    def another(self) -> Server:
        """Return the same server with a connection of its own."""
        return Server(self.process, http.client.HTTPConnection("127.0.0.1", self.connection.port, timeout=30))

    def _asked(self, body: bytes, path: str) -> http.client.HTTPResponse:
        self.connection.request("POST", path, body, {"Content-Type": "application/json"})
        return self.connection.getresponse()

    def cpu_seconds(self) -> float:
        """Processor time used so far, by the system on its behalf too."""
        top = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (top, *top.children(recursive=True))]
        ended = top.cpu_times()
        return sum(one.user + one.system for one in times) + ended.children_user + ended.children_system

    def memory(self) -> float:
        """Resident memory in megabytes."""
        top = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (top, *top.children(recursive=True))) / 1e6

    def is_ready(self) -> bool:
        """Whether it answers its probe."""
        try:
            self.connection.request("GET", "/readyz")
            answer = self.connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return False


@contextmanager
def started(command: list[str], scratch: Path, port: int | None = None, **variables: str) -> Iterator[Server]:
    """Run a server, its port as the last word of the command, until the block ends; at a free port if none is given."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", port or 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "BENTOML_HOME": str(scratch), "BENTOML_DO_NOT_TRACK": "True", **variables}
    environment.pop("PROML_API_TOKEN", None)
    process = subprocess.Popen(
        [*command, str(port)],
        cwd=scratch,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = Server(process, http.client.HTTPConnection("127.0.0.1", port, timeout=30))
    try:
        end = time.monotonic() + READY_SECONDS
        while not server.is_ready():
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit(f"not ready within {READY_SECONDS} s: {' '.join(command)}")
            time.sleep(0.1)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def cost(server: Server, body: bytes, requests: int, path: str = "/predict") -> float:
    """Processor time of one request, in microseconds."""
    before = server.cpu_seconds()
    for _ in range(requests):
        server.post(body, path)
    return (server.cpu_seconds() - before) / requests * 1e6
