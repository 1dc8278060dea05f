"""`kedro serve` as a process of its own, and clients that ask it all the time, for tests."""

from __future__ import annotations

import http.client
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    lines: list[str]

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_for(self, text: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not any(text in line for line in self.lines):
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.05)

    def wait_for_changes(self, count: int, seconds: float = 120) -> None:
        self.wait_for_lines("changed to", count, seconds)

    def wait_for_lines(self, text: str, count: int, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while sum(text in line for line in self.lines) < count:
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.05)

    def memory(self) -> float:
        """Resident memory of the workers, in MB."""
        pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in self.workers()]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def workers(self) -> list[int]:
        """The processes that serve; others stand by."""
        return [one for one in self.children() if _name(one) == "proml-worker"]

    def standing_by(self) -> list[int]:
        """The processes that have loaded what they need, and wait."""
        return [one for one in self.children() if _name(one) == "proml-standby"]

    def children(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(one) for one in children.split()]


def start(*arguments: str, folder: Path | None = None, **environment: str) -> tuple[subprocess.Popen[str], list[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "proml_kedro", "serve", *arguments],
        cwd=folder, env={**os.environ, **environment}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    lines: list[str] = []

    def keep() -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                lines.append(line)

    threading.Thread(target=keep, daemon=True).start()
    return process, lines


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


@contextmanager
def serving(
    bundle: Path, *options: str, folder: Path | None = None, standby: bool = False, **environment: str
) -> Iterator[Server]:
    """Serve a bundle; no process stands by unless a test wants one, since each costs seconds."""
    waiting = [] if standby else ["serving.standby=false"]
    process, lines = start(str(bundle), "--port", "0", *options, *waiting, folder=folder, **environment)
    try:
        server = Server(process, 0, lines)
        server.wait_for("serving ")
        (port,) = [
            found[1] for line in lines if (found := re.search(r"^serving .* at http://127\.0\.0\.1:(\d+)", line))
        ]
        server.port = int(port)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


@dataclass
class Load:
    """Clients that ask all the time, over connections they keep and over new ones.

    Attributes:
        pause: Seconds of which each client waits a random part before it asks again: where a test waits for a server
            to change, clients that never wait only take the processors that it needs, and no connection is ever idle.
    """

    port: int
    body: bytes
    token: str = ""
    pause: float = 0.0
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    is_over: bool = False

    @contextmanager
    def running(self, keeping: int = 4, opening: int = 1) -> Iterator[None]:
        clients = [True] * keeping + [False] * opening
        threads = [threading.Thread(target=self._ask, args=(one,), daemon=True) for one in clients]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            self.is_over = True
            for one in threads:
                one.join(60)

    def _ask(self, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        while not self.is_over:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                try:
                    connection.connect()
                except OSError:  # nobody listens: nothing was sent, so nothing is lost
                    self.refused += 1
                    connection = None
                    time.sleep(0.05)
                    continue
            try:
                connection.request("POST", "/predict", self.body, headers)
                response = connection.getresponse()
                self.answers.append((response.status, response.read()))
                ends = response.will_close or not keeps
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(f"{'kept' if keeps else 'new'}: {type(error).__name__}: {error}")
                ends = True
            if ends:
                connection.close()
                connection = None
            if self.pause:
                time.sleep(random.uniform(0, self.pause))
        if connection is not None:
            connection.close()
