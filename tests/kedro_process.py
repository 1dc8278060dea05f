"""Commands of Kedro in processes of their own that need not import everything anew.

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
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, get_context
from pathlib import Path
from unittest import mock

_HERE = Path(__file__).parent
_context = get_context("forkserver")
_context.set_forkserver_preload(["preloaded"])


def run_kedro(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run ``kedro`` with arguments.

    Args:
        arguments: What stands behind ``kedro``.
        cwd: Where.
        environment: Variables beside those of this process. A ``PYTHONPATH`` is put in front, with what a
            ``sitecustomize.py`` there does.
        timeout: Seconds.

    Raises:
        subprocess.TimeoutExpired: It took longer, and was ended.
    """
    variables = {**os.environ, **(environment or {})}
    if "COVERAGE_FILE" in os.environ:
        command = [str(Path(sys.executable).with_name("kedro")), *arguments]
        return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=timeout)
    with mock.patch.dict(os.environ, PYTHONPATH=str(_HERE)):  # the only way to tell the server of Python 3.11
        forkserver.ensure_running()
    command = ["kedro", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("out", "err")]
        process = _context.Process(target=_kedro, args=(command, str(cwd), variables, *map(str, files)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        out, err = (file.read_text() if file.exists() else "" for file in files)
    return subprocess.CompletedProcess(command, process.exitcode, out, err)


def _kedro(command: list[str], cwd: str, variables: dict[str, str], out: str, err: str) -> None:
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
    from kedro.framework.cli import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def _python_path(variables: Mapping[str, str]) -> list[str]:
    return [one for one in variables.get("PYTHONPATH", "").split(os.pathsep) if one]
