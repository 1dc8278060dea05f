"""Runs in which the n-th file operation below the data folder goes wrong, each in a child forked after the imports.

What Python does to files is seen by an audit hook, and fails there: each `open`, `rename`, `mkdir`, link and removal of
a path below the data folder counts. What libraries in C write to (DuckDB, SQLite, XGBoost) is reached by a limit on the
size of files that holds from the n-th operation on, as on a disk that is full.
"""

from __future__ import annotations

import errno
import importlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = ("EIO", "ENOSPC", "full", "kill")
"""One operation fails in the first two ways; from it on the disk is full; the process is killed before it."""

_OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate",
               "os.scandir", "os.listdir", "shutil.copyfile", "sqlite3.connect"}  # fmt: skip


class _Faults:
    """Audit hook that counts file operations below a folder, and lets one go wrong.

    Args:
        folder: The folder.
        kind: One of :data:`KINDS`; None to count alone.
        at: Number of the operation, from 0.
    """

    def __init__(self, folder: str, kind: str | None, at: int) -> None:
        self._below, self._kind, self._at = folder, kind, at
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _OPERATIONS or not arguments or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.fsdecode(arguments[0])
        if not path.startswith(self._below):
            return
        number = len(self.seen)
        self.seen.append(f"{event} {path[len(self._below) :]}")
        if number == self._at:
            self._fail(path)

    def _fail(self, path: str) -> None:
        if self._kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._kind == "full":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        elif self._kind:
            code = getattr(errno, self._kind)
            raise OSError(code, os.strerror(code), path)


def run(arguments: list[str], data: Path, kind: str | None = None, at: int = -1) -> dict[str, Any]:
    """Make `proml_kedro` run in a child of this process.

    Returns:
        ``code`` (negative: the signal), ``said`` on standard error, and the ``operations`` that it has come to.
    """
    outputs = [os.memfd_create(name) for name in ("said", "operations")]
    child = os.fork()
    if child == 0:
        _work(arguments, _Faults(str(data), kind, at), outputs)
    _, status = os.waitpid(child, 0)
    said, operations = (_read(one) for one in outputs)
    return {"code": os.waitstatus_to_exitcode(status), "said": said, "operations": json.loads(operations or "[]")}


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as stream:
        stream.seek(0)
        return stream.read().decode(errors="replace")


def _work(arguments: list[str], faults: _Faults, outputs: list[int]) -> None:
    from proml_kedro.cli import cli

    said, operations = os.pipe(), outputs[1]  # a limit on the size of files does not concern pipes
    if os.fork() == 0:  # one more process drains the pipe, since memory files have a size too
        os.close(said[1])
        with os.fdopen(said[0], "rb") as stream, os.fdopen(outputs[0], "wb") as kept:
            for part in iter(lambda: stream.read1(65536), b""):
                kept.write(part)
                kept.flush()
        os._exit(0)
    os.dup2(said[1], 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.close(said[1])
    logging.disable(logging.WARNING)  # what is left is what a run complains of
    code = 70
    try:
        sys.addaudithook(faults)
        cli(arguments, prog_name="proml_kedro")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - what a user would see
        import traceback

        traceback.print_exc()
    logging.shutdown()
    sys.stderr.flush()
    os.close(2)
    os.wait()  # the last of what was said is kept
    if faults._kind is None:
        os.write(operations, json.dumps(faults.seen).encode())
    os._exit(code)


def prepare() -> None:
    """Do the imports that every run would do, so that a child costs what it computes."""
    os.environ["KEDRO_LOGGING_CONFIG"] = str(Path(__file__).parents[1] / "conf" / "logging.yml")
    from kedro.framework.project import configure_project

    configure_project("proml_kedro")
    for name in ("preloaded", "duckdb", "proml_kedro.cli"):
        importlib.import_module(name)
    draw_coarsely()


def draw_coarsely() -> None:
    """Draw plots from now on with few pixels and no layout: what happens to their files is asked, not how they look."""
    from proml_kedro import plots

    plots._STYLE.update({"figure.constrained_layout.use": False, "figure.dpi": 20})


def main() -> None:
    """Read trials from standard input, one JSON a line: ``arguments``, ``data``, ``kind``, ``at``; answer each."""
    prepare()
    for trial in _trials():
        sys.stdout.write(json.dumps(run(trial["arguments"], Path(trial["data"]), trial["kind"], trial["at"])) + "\n")
        sys.stdout.flush()


def _trials() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


if __name__ == "__main__":
    main()
