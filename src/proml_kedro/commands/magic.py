"""`%load_ext proml_kedro`: the commands as a line of a notebook, and every error of theirs in one line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from proml_kedro.commands.boundary import explain
from proml_kedro.errors import Mistake, UserError


class CommandError(UserError):
    """A command that ended with another exit code than 0; what it said stands above."""


def load(shell: Any) -> None:
    """Give an IPython shell the line magic ``%proml``, and errors in one line.

    Args:
        shell: An ``InteractiveShell``.
    """
    shell.register_magic_function(proml, magic_kind="line", magic_name="proml")
    shell.set_custom_exc((Exception,), _show)


def unload(shell: Any) -> None:
    """Take both away."""
    shell.magics_manager.magics["line"].pop("proml", None)
    shell.set_custom_exc((), None)


def proml(line: str) -> None:
    """Run a command of proml_kedro in the folder of the notebook: ``%proml run model=xgboost seed=3``.

    It is a process of its own, as on the command line, and says what it says there. A word between braces that is a
    name of the notebook is its value, as IPython has it.

    Raises:
        CommandError: It ended with another exit code than 0.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:  # a quote that is not closed
        raise UserError(Mistake("", f"{str(error).lower()} in `{line}`; close it, or put \\ before it")) from error
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - what somebody types into a notebook of theirs
        [sys.executable, "-m", "proml_kedro", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        env=environment,
        cwd=Path.cwd(),
    ) as process:
        try:
            for said in process.stdout or ():
                sys.stdout.write(said)
                sys.stdout.flush()
        except BaseException:
            process.terminate()
            raise
        code = process.wait()
    if code:
        raise CommandError.at("", f"`proml_kedro {shlex.join(words)}` ended with exit code {code}")


def _show(shell: Any, kind: type[BaseException], error: BaseException, traceback: Any, tb_offset: Any = None) -> None:
    """Show what a user can cause in one line a mistake, and a fault with its traceback."""
    explained = explain(error)
    if explained is None or _is_code_of_the_notebook(error):
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
    else:
        shell._showtraceback(kind, explained, explained._render_traceback_())


def _is_code_of_the_notebook(error: BaseException) -> bool:
    """Whether it was raised by what the user wrote, whose own mistakes keep their traceback."""
    if isinstance(error, UserError):
        return False
    frame, last = error.__traceback__, None
    while frame is not None:
        last, frame = frame, frame.tb_next
        if "proml_kedro" in Path(last.tb_frame.f_code.co_filename).parts:
            return False
    return True
