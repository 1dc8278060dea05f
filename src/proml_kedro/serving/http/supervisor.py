"""The supervisor: it holds the listening socket, keeps workers alive, and changes them without losing a request."""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proml_kedro.errors import Mistake, UserError
from proml_kedro.locks import Claims
from proml_kedro.result_folder import claim_around
from proml_kedro.serving.http.changes import Changes
from proml_kedro.serving.http.worker import Settings

logger = logging.getLogger(__name__)

_READY_SECONDS = 300.0
"""How long a worker may take to load and prove its bundle."""

_RESTARTS, _WITHIN = 5, 60.0
"""How many workers may end by themselves within so many seconds before all of it ends."""

_STEP = 0.05

_ATTACH_FILTER = 26
"""``SO_ATTACH_FILTER`` of Linux, which Python does not name."""

_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A filter of packets in the kernel's language (BPF): one instruction, which takes nothing of any of them."""


@dataclass(frozen=True)
class Service:
    """What is served, and where.

    Attributes:
        bundle: Gives the folder of the bundle to serve now; it is asked anew when workers are changed.
        host: The address to listen at.
        port: The port; 0 for a free one.
        workers: Number of processes.
        serving: Limits for the workers, with the keys of ``conf/serving``; those of the bundle when empty.
        online: Whether features are looked up.
        log: Folder of the prediction log; as ``serving.predictions`` says when None.
        challenger: Another model that scores too, with the keys of ``serving.challenger``; as ``serving`` says when
            empty.
        places: Where parts of the scoring are done, with the keys of ``serving.places``.
        place: The one of them that this is; None for the server that asks them.
        verify_key: File of the key that bundles have to be signed by; None where they need not be.
        standby: Whether as many processes stand by as serve, with their libraries loaded.
        state: Gives what changes when another bundle is to be served, which then happens by itself.
    """

    bundle: Callable[[], Path]
    host: str = "127.0.0.1"
    port: int = 3000
    workers: int = 1
    serving: dict[str, Any] = field(default_factory=dict)
    online: bool = True
    log: str | None = None
    state: Callable[[], object] = lambda: None
    challenger: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Any] = field(default_factory=dict)
    place: str | None = None
    standby: bool = False
    verify_key: str | None = None


@dataclass
class _Worker:
    """A process that serves, or stands by.

    Attributes:
        process: The process.
        told: Number of the file that its settings are written into.
        ready: Number of the file that it writes a line into once it serves.
        its_ready: Number of the same in the process.
        until: When it is killed, once it was told to end.
    """

    process: subprocess.Popen[bytes]
    told: int
    ready: int
    its_ready: int
    until: float | None = None

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def tell(self, settings: Settings) -> bool:
        """Let it serve; return whether it can still be told."""
        try:
            os.write(self.told, settings.line().encode())
        except OSError:
            return False
        finally:
            os.close(self.told)
        return True

    def dismiss(self) -> None:
        """Let it end, which stands by."""
        os.close(self.told)
        os.close(self.ready)
        self.leave()

    def leave(self) -> None:
        """Let it answer what has come, and end."""
        if self.is_alive and self.until is None:
            self.process.terminate()
        self.until = self.until or time.monotonic() + Settings.drain + 35

    def has_left(self) -> bool:
        """Whether it has ended; it is ended where it takes too long."""
        if self.is_alive and self.until is not None and time.monotonic() > self.until:
            self.process.kill()
        return not self.is_alive


def serve(service: Service, said: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP, or another state, changes workers for new ones, of the bundle named now.

    New workers load and prove their bundle before the old ones are told to end; a bundle that is not sound changes
    nothing. Workers that are told to end answer what has come, and close their connections.

    Args:
        service: What to serve.
        said: Takes lines for people.

    Raises:
        UserError: The port is taken, or no worker becomes ready.
    """
    with _listening(service) as listening, _shared_metrics() as folder:
        changes = Changes(folder / "changes.json")
        _Supervisor(service, listening, said, changes).run()


class _Supervisor:
    def __init__(
        self, service: Service, listening: socket.socket, said: Callable[[str], None], changes: Changes
    ) -> None:
        self._service, self._listening, self._said, self._changes = service, listening, said, changes
        self._workers: list[_Worker] = []
        self._leaving: list[_Worker] = []
        self._standing_by: list[_Worker] = []
        self._ended: list[float] = []
        self._is_told = self._is_to_change = False
        self._state = service.state()
        self._bundle, self._claims = self._chosen()
        self._last: Claims | None = None

    def _chosen(self) -> tuple[Path, Claims]:
        """The folder of the bundle to serve now: all workers serve the same, and nobody frees it meanwhile."""
        claims = Claims()
        return claim_around(self._service.bundle(), claims), claims

    def run(self) -> None:
        with _signals(self._note):
            try:
                self._workers = self._started(self._service.workers, self._bundle)
                host, port = self._listening.getsockname()[:2]
                what = f"the place '{self._service.place}' of " if self._service.place else ""
                self._said(f"serving {what}{self._service.bundle()} at http://{_bracketed(host)}:{port}")
                while not self._is_told:
                    self._fill()
                    time.sleep(_STEP)
                    self._look()
            finally:
                _take_no_more(self._listening)
                self._listening.close()  # workers alone decide when nobody listens any more
                for worker in self._standing_by:
                    worker.dismiss()
                self._end([*self._workers, *self._leaving, *self._standing_by])

    def _note(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._is_to_change = True
        else:
            self._is_told = True

    def _look(self) -> None:
        self._leaving = [one for one in self._leaving if not one.has_left()]
        if (state := self._service.state()) != self._state:
            self._state, self._is_to_change = state, True
        if self._is_to_change:
            self._is_to_change = False
            self._change()
        if gone := [one for one in self._workers if not one.is_alive]:
            self._workers = [one for one in self._workers if one not in gone]
            self._replace(gone)

    def _replace(self, gone: Sequence[_Worker]) -> None:
        now = time.monotonic()
        self._ended = [one for one in self._ended if now - one < _WITHIN] + [now] * len(gone)
        codes = ", ".join(str(one.process.returncode) for one in gone)
        if len(self._ended) > _RESTARTS:
            message = f"{len(self._ended)} workers ended within {_WITHIN:.0f} s (exit codes {codes})"
            raise UserError(Mistake("", f"{message}; the lines above say why"))
        logger.error("a worker ended (exit code %s); another one is started", codes)
        self._workers += self._started(len(gone), self._bundle, insists=False)

    def _change(self) -> None:
        """Put new workers in place of the old ones, unless the new ones do not become ready."""
        self._changes.begin()
        try:
            bundle, claims = self._chosen()
            fresh = self._started(self._service.workers, bundle)
        except UserError as error:
            self._said(f"nothing is changed: {error}")
            self._changes.end(self._bundle, str(error))
            return
        old, self._workers = self._workers, fresh
        if bundle != self._bundle:
            self._last = self._claims  # nobody frees the last one, so that it can be gone back to
        self._bundle, self._claims = bundle, claims
        self._said(f"changed to {bundle}")
        self._changes.end(bundle, None)
        self._leaving += old  # nobody waits for them: one of them may ask for the next change
        for worker in old:
            worker.leave()

    def _started(self, count: int, bundle: Path, insists: bool = True) -> list[_Worker]:
        """Start workers, and wait until all of them are ready.

        Args:
            count: How many.
            bundle: What they serve.
            insists: Whether they are to end where a place does not answer that requests cannot do without.

        Raises:
            UserError: One ends before, or takes too long.
        """
        workers = [self._start(bundle, insists) for _ in range(count)]
        try:
            for worker in workers:
                self._wait(worker, bundle)
        except BaseException:
            self._end(workers)
            raise
        return workers

    def _start(self, bundle: Path, insists: bool) -> _Worker:
        while True:
            worker = self._standing_by.pop() if self._standing_by else self._made(None)
            settings = Settings(
                str(bundle),
                self._listening.fileno(),
                worker.its_ready,
                self._service.serving,
                self._service.online,
                self._service.log,
                self._service.challenger,
                self._service.places,
                self._service.place,
                Settings.places_seconds if insists else 0.0,
                self._service.verify_key,
            )
            if worker.tell(settings):
                return worker
            os.close(worker.ready)  # it stood by, and was ended by somebody

    def _fill(self) -> None:
        """Let as many processes stand by as serve, once those serve."""
        missing = self._service.workers - len(self._standing_by) if self._service.standby else 0
        self._standing_by += [self._made(self._bundle) for _ in range(missing)]

    def _made(self, practice: Path | None) -> _Worker:
        """Start a process that serves as soon as it is told; with a bundle to practise on it stands by."""
        its_told, told = os.pipe()
        ready, its_ready = os.pipe()
        try:
            module = [sys.executable, "-m", "proml_kedro.serving.http.worker", str(its_told)]
            process = subprocess.Popen(  # noqa: S603 (our own module, no shell)
                [*module, *([str(practice)] if practice else [])],
                pass_fds=(self._listening.fileno(), its_told, its_ready),
                env={**os.environ, **self._changes.environment()},
                start_new_session=True,  # Ctrl-C is the supervisor's to pass on
            )
        finally:
            os.close(its_told)
            os.close(its_ready)
        return _Worker(process, told, ready, its_ready)

    def _wait(self, worker: _Worker, bundle: Path) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        try:
            while not select.select([worker.ready], [], [], _STEP)[0]:
                if self._is_told:
                    raise KeyboardInterrupt
                if time.monotonic() > deadline:
                    raise UserError(Mistake("", f"{bundle} was not ready within {_READY_SECONDS:.0f} s"))
            if os.read(worker.ready, 16) != b"ready\n":
                code = worker.process.wait()
                message = f"{bundle} cannot be served: its worker ended with exit code {code}; the lines above say why"
                raise UserError(Mistake("", message))
        finally:
            os.close(worker.ready)

    def _end(self, workers: Sequence[_Worker]) -> None:
        for worker in workers:
            worker.leave()
        while not all(worker.has_left() for worker in workers):
            time.sleep(_STEP)


def _take_no_more(listening: socket.socket) -> None:
    """Let the kernel take no new connections, while workers accept those that wait already.

    A socket that is closed resets what waits at it, requests included. Whoever asks meanwhile is refused
    after a second. Where there is no such filter a connection of the last moment may be reset.
    """
    program = ctypes.create_string_buffer(_DROP_ALL)
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


@contextmanager
def _listening(service: Service) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in service.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((service.host, service.port))
        except OSError as error:
            message = f"cannot listen at {_bracketed(service.host)}:{service.port}: {error.strerror}"
            raise UserError(Mistake("", f"{message}; choose another --port")) from error
        listening.listen(2048)
        listening.set_inheritable(True)
        yield listening


@contextmanager
def _shared_metrics() -> Iterator[Path]:
    """Let workers add up their figures in a folder of this service, which is given."""
    name = "PROMETHEUS_MULTIPROC_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix="proml-metrics-") as folder:
        os.environ[name] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


@contextmanager
def _signals(note: Callable[[int], None]) -> Iterator[None]:
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {one: signal.signal(one, lambda number, _: note(number)) for one in handled}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
