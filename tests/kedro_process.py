"""Commands of Kedro and of Feast in processes of their own that need not import everything anew.

Half of what a small run costs is imports. A server, started at the first command, has done them once and is forked for
each. What a command then does is its own: arguments, folder, environment, output and exit code. Tests of what imports
cost, of signals and of environments other than this one start processes themselves. Where coverage is measured nothing
is forked: what was loaded before would not count.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any
from unittest import mock

_HERE = Path(__file__).parent
_context = get_context("forkserver")
_context.set_forkserver_preload(["preloaded"])


@dataclass
class Started:
    """A command that was started.

    Attributes:
        command: The command.
        process: Its process.
        folder: Holds what it says, in the files ``out`` and ``err``.
    """

    command: list[str]
    process: Any
    folder: tempfile.TemporaryDirectory[str]

    def said(self, name: str = "out") -> str:
        """What it has said until now: ``out`` or ``err``."""
        file = Path(self.folder.name, name)
        return file.read_text() if file.exists() else ""

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll() is None
        return bool(self.process.is_alive())

    def wait_until_said(self, words: str, name: str = "out", timeout: float = 900) -> None:
        """Wait until it has said some words: on ``out`` or on ``err``."""
        deadline = time.monotonic() + timeout
        while words not in self.said(name):
            assert self.running or words in self.said(name), f"it ended and did not say '{words}': {self.said(name)}"
            assert time.monotonic() < deadline, f"it did not say '{words}' in time: {self.said(name)}"
            time.sleep(0.05)

    def wait(self, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: It took longer, and was ended.
        """
        if isinstance(self.process, subprocess.Popen):
            try:
                code: int | None = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = None
        else:
            self.process.join(timeout)
            code = self.process.exitcode
        with self.folder:
            if code is None:
                self.end()
                raise subprocess.TimeoutExpired(self.command, timeout)
            return subprocess.CompletedProcess(self.command, code, self.said("out"), self.said("err"))

    def end(self) -> None:
        """Kill it, if it has not ended."""
        self.process.kill()
        self.process.wait() if isinstance(self.process, subprocess.Popen) else self.process.join()


def run_kedro(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run ``kedro`` with arguments; see :func:`start_kedro`.

    Raises:
        subprocess.TimeoutExpired: It took longer, and was ended.
    """
    return start_kedro(arguments, cwd, environment).wait(timeout)


def start_kedro(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> Started:
    """Start ``kedro`` with arguments.

    Args:
        arguments: What stands behind ``kedro``.
        cwd: Where.
        environment: Variables beside those of this process. A ``PYTHONPATH`` is put in front, with what a
            ``sitecustomize.py`` there does.
    """
    return _start(["kedro", *arguments], cwd, environment or {})


def run_feast(arguments: Sequence[str], cwd: Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run ``feast`` with arguments.

    Raises:
        subprocess.TimeoutExpired: It took longer, and was ended.
    """
    return _start(["feast", *arguments], cwd, {}).wait(timeout)


def _start(command: list[str], cwd: Path, environment: Mapping[str, str]) -> Started:
    variables = {**os.environ, **environment}
    folder = tempfile.TemporaryDirectory()
    files = [Path(folder.name) / name for name in ("out", "err")]
    if "COVERAGE_FILE" in os.environ:
        command = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        with files[0].open("w") as out, files[1].open("w") as err:
            process: Any = subprocess.Popen(command, cwd=cwd, env=variables, stdout=out, stderr=err)
        return Started(command, process, folder)
    return Started(command, _fork(_run, command, str(cwd), variables, *map(str, files)), folder)


def start_function(function: Callable[..., None], *arguments: Any) -> Any:
    """Start a function of a module in a process of its own, which has done the same imports; returns the process."""
    return _fork(function, *arguments)


def _fork(function: Callable[..., None], *arguments: Any) -> Any:
    with mock.patch.dict(os.environ, PYTHONPATH=str(_HERE)):  # the only way to tell the server of Python 3.11
        forkserver.ensure_running()
    process = _context.Process(target=function, args=arguments)
    process.start()
    return process


def _run(command: list[str], cwd: str, variables: dict[str, str], out: str, err: str) -> None:
    for descriptor, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    sys.argv = command
    sys.path[:] = [*_python_path(variables), *(one for one in sys.path if Path(one) != _HERE)]
    for one in _python_path(variables):
        customize = Path(one) / "sitecustomize.py"
        if customize.is_file():
            exec(compile(customize.read_text(), str(customize), "exec"), {})
    if command[0] == "feast":
        from feast.cli.cli import cli as main
    else:
        from kedro.framework.cli import main
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def _python_path(variables: Mapping[str, str]) -> list[str]:
    return [one for one in variables.get("PYTHONPATH", "").split(os.pathsep) if one]
