"""What the project's commands are made of: one class, one argument, the options that say where the configuration is.

This module and those of the commands import nothing heavy: the shell waits for them at every completion.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from proml_kedro.commands.boundary import explain, keep_traceback
from proml_kedro.errors import Mistake, UserError, masked, shortened

OVERRIDES = "overrides"
"""The parameter that holds KEY=VALUE, and the key of Kedro's runtime parameters that carries them."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

FAULT = 70
"""Exit code after an error that is not the user's (EX_SOFTWARE)."""

CLOSED = 141
"""Exit code when standard output was closed, as shells have it."""


class Command(click.Command):
    """A command that answers every mistake in one line."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line."""
        with _in_one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Exit code 1 says that data has drifted, so nothing else may end with it."""
        try:
            with _in_one_line():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted; what was finished is kept", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # whoever reads our output has seen enough
            sys.stdout = None
            sys.exit(CLOSED)
        except Exception as error:
            if explained := explain(error):
                raise explained from error
            _say_fault(error)
            sys.exit(FAULT)


def _say_fault(error: Exception) -> None:
    """Say in one line that this is a fault of ours, and where its traceback is."""
    file = keep_traceback(error)
    text = shortened(masked(" ".join(f"{type(error).__name__} {error}".split())), 300)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"its traceback is in {file}" if file else "its traceback could not be written"
    click.echo(f"{text}: a fault of the program, at {frame.filename}:{frame.lineno}; {where}", err=True)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Give Click's and Kedro's own complaints about options the form of ours."""
    from kedro.framework.cli.utils import KedroCliError

    try:
        yield
    except (click.UsageError, KedroCliError) as error:
        raise UserError(Mistake("", " ".join(error.format_message().split()))) from error


def overrides_argument() -> click.Argument:
    """Make the argument that takes KEY=VALUE, with shell completion."""
    return click.Argument(
        [OVERRIDES], nargs=-1, type=click.UNPROCESSED, shell_complete=_complete, metavar="[KEY=VALUE]..."
    )


def configuration_options() -> list[click.Option]:
    """Make the options `--env` and `--conf-source`, which say where the configuration is."""
    return [
        click.Option(["--env", "-e"], help="Kedro environment: a file of conf/env."),
        click.Option(["--conf-source"], default=conf_of_project, help="Folder or archive with the configuration."),
    ]


def conf_of_project() -> str:
    """Return the configuration's folder of the project around the working directory."""
    from kedro.framework.project import settings
    from kedro.utils import find_kedro_project

    return str((find_kedro_project(Path.cwd()) or Path.cwd()) / settings.CONF_SOURCE)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from proml_kedro.config.completion import complete

    conf = ctx.params.get("conf_source") or conf_of_project()
    try:
        return complete(Path(conf), incomplete, ctx.params.get(OVERRIDES) or ())
    except (UserError, OSError):  # while a line is being typed, nothing is said about what is wrong elsewhere
        return []
