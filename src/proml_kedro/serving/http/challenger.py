"""A challenger, as a worker sees it: who is scored by it, what it is asked, and what becomes of its answers.

It runs in a process of its own, which a worker never waits for: what it cannot take is dropped and counted, and a
canary that fails or is late leaves its rows to the champion.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from proml_kedro.bundle import Manifest
from proml_kedro.errors import Mistake, UserError
from proml_kedro.serving.frames import frame, read_frame
from proml_kedro.serving.http.direct import Answer, Asked
from proml_kedro.serving.http.match import matched
from proml_kedro.serving.http.share import Share
from proml_kedro.serving.metrics import ChallengerMetrics
from proml_kedro.spec import ChallengerSpec, ServingSpec

logger = logging.getLogger(__name__)

_PENDING, _BYTES = 64, 4 << 20
"""How much may wait for the challenger: requests, and bytes of them in this process."""

_FAILURES, _REST = 5, 10.0
"""After so many failures on end it is not asked for so many seconds."""

_READY_SECONDS = 300.0


@dataclass(frozen=True)
class Settings:
    """What the process of a challenger is told.

    Attributes:
        bundle: The bundle's folder.
        socket: Number of the file of the socket whose other end the worker has.
        serving: Limits, with the keys of ``conf/serving``.
        online: Whether features are looked up.
        log: Folder of the prediction log; None for none.
        is_shadow: Whether nobody gets its answers.
    """

    bundle: str
    socket: int
    serving: dict[str, Any]
    online: bool
    log: str | None
    is_shadow: bool

    def line(self) -> str:
        """Return the settings as the process's argument."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Beside:
    """What a challenger shares with the champion.

    Attributes:
        spec: Limits.
        online: Whether features are looked up.
        log: Folder of the prediction log; as ``spec`` says when None.
    """

    spec: ServingSpec
    online: bool
    log: str | None


def begin(spec: ChallengerSpec, champion: Manifest, beside: Beside, registry: CollectorRegistry) -> Challenger | None:
    """Start the process of a challenger; None where it is the champion itself.

    Raises:
        UserError: It cannot stand beside the champion, or cannot be loaded.
    """
    manifest = matched(spec, champion)
    if manifest is None:
        logger.warning("the challenger is %s, which is served: nothing is compared", champion.tag)
        return None
    serving = beside.spec.model_dump(mode="json", exclude={"challenger"})

    def settings(number: int) -> Settings:
        return Settings(spec.bundle, number, serving, beside.online, beside.log, spec.mode == "shadow")

    return Challenger(spec, champion, manifest, settings, ChallengerMetrics(registry))


class Challenger:
    """A challenger.

    Args:
        spec: As configured.
        champion: Of the bundle that is served.
        manifest: Of its own bundle.
        settings: Of its process, for the number of a socket that it is given.
        metrics: Where its answers are counted.

    Attributes:
        is_shadow: Whether nobody gets its answers.
        tag: Name and version of its bundle.
        share: Which rows it scores.
    """

    def __init__(
        self,
        spec: ChallengerSpec,
        champion: Manifest,
        manifest: Manifest,
        settings: Callable[[int], Settings],
        metrics: ChallengerMetrics,
    ) -> None:
        self._spec, self._settings, self._metrics = spec, settings, metrics
        self.is_shadow, self.tag = spec.mode == "shadow", manifest.tag
        self.share = Share.of(spec, champion, manifest.tag)
        self._process, self._connection = self._started()
        self._is_new = True
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._pending: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._comparing: set[asyncio.Future[None]] = set()
        self._number = self._failures = 0
        self._rests_until = 0.0

    def shadow(self, asked: Asked, route: str, body: bytes, numbers: Sequence[int], scores: Sequence[Any]) -> None:
        """Pass rows on that the champion has scored; nobody waits for what becomes of them."""
        task = asyncio.ensure_future(self._compared(asked, route, body, numbers, scores))
        self._comparing.add(task)
        task.add_done_callback(self._comparing.discard)

    async def _compared(
        self, asked: Asked, route: str, body: bytes, numbers: Sequence[int], scores: Sequence[Any]
    ) -> None:
        said = await self._ask(asked, route, body, numbers, _READY_SECONDS)
        if said is None or said.status != 200:
            return
        theirs = said.content.get("probabilities", said.content.get("predictions", ()))
        for own, other in zip(scores, theirs, strict=False):
            if isinstance(own, float) and isinstance(other, float):
                self._metrics.differs(abs(own - other))

    async def answer(self, asked: Asked, route: str, body: bytes, numbers: Sequence[int]) -> Answer | None:
        """Let it answer rows; None where the champion has to."""
        said = await self._ask(asked, route, body, numbers, self._spec.timeout_ms / 1000)
        if said is not None and said.status == 200:
            return said
        self._metrics.fell_back(len(numbers))
        return None

    async def _ask(
        self, asked: Asked, route: str, body: bytes, numbers: Sequence[int], seconds: float
    ) -> Answer | None:
        """Ask it, and count what comes of it; None where nothing does."""
        begun = time.monotonic()
        if not await self._can_take(begun):
            self._metrics.answered("dropped", len(numbers))
            return None
        self._number += 1
        number, loop = self._number, asyncio.get_running_loop()
        self._pending[number] = loop.create_future()
        head = {
            "number": number, "route": route, "request_id": asked.request_id, "rows": numbers,
            "received_at": asked.received_at.isoformat(), "until": begun + seconds,
        }  # fmt: skip
        try:
            assert self._writer is not None  # noqa: S101 (it can take)
            self._writer.write(frame(head, body))
            status, text = await asyncio.wait_for(self._pending[number], seconds)
        except (TimeoutError, ConnectionError):
            status, text = 504, b"{}"
        finally:
            self._pending.pop(number, None)
        self._note(status)
        self._metrics.answered(_outcome(status), len(numbers), time.monotonic() - begun)
        return Answer(orjson.loads(text), status)

    def _note(self, status: int) -> None:
        self._failures = self._failures + 1 if status >= 500 else 0
        if self._failures >= _FAILURES:
            self._failures, self._rests_until = 0, time.monotonic() + _REST

    async def _can_take(self, now: float) -> bool:
        if self._is_new:
            self._is_new = False
            reader, self._writer = await asyncio.open_connection(sock=self._connection)
            self._reading = asyncio.create_task(self._read(reader))
        if self._writer is None or now < self._rests_until or len(self._pending) >= _PENDING:
            return False
        return self._writer.transport.get_write_buffer_size() < _BYTES

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head, body = await read_frame(reader)
                waiting = self._pending.get(head.get("number", 0))
                if waiting is not None and not waiting.done():
                    waiting.set_result((head["status"], body))
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._restart()

    async def _restart(self) -> None:
        """Start another process in the place of one that has ended, not more often than it rests."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError())
        loop = asyncio.get_running_loop()
        while not self._is_new:
            logger.error("the challenger %s has ended; another one is started in %.0f s", self.tag, _REST)
            await asyncio.sleep(_REST)
            try:
                self._process, self._connection = await loop.run_in_executor(None, self._started)
                self._is_new = True
            except UserError as error:
                logger.error("%s", error)

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start the process, and wait until it has proved its bundle.

        Raises:
            UserError: It ends before, or takes too long.
        """
        own, other = socket.socketpair()
        with other:
            settings = self._settings(other.fileno())
            command = [sys.executable, "-m", "proml_kedro.serving.http.challenger_process", settings.line()]
            process = subprocess.Popen(  # noqa: S603 (our own module, no shell)
                command,
                pass_fds=(other.fileno(),),
                env={name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"},
            )  # its figures are not the service's: nobody was answered by it
        own.settimeout(_READY_SECONDS)
        try:
            is_ready = bool(own.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            is_ready = False
        if not is_ready:
            own.close()
            process.kill()
            code = process.wait()
            message = f"it cannot be loaded: its process ended with exit code {code}; the lines above say why"
            raise UserError(Mistake("serving.challenger.bundle", message))
        return process, own

    def close(self) -> None:
        """Let its process end, once it has scored what it has, and written its log."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _outcome(status: int) -> str:
    if status == 200:
        return "scored"
    return "late" if status == 504 else "refused" if status < 500 else "failed"
