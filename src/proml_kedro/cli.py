"""The project's commands: Kedro's `run` with overrides as arguments, and a look at the configuration."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS, KedroCliError

from proml_kedro.commands import workspace
from proml_kedro.commands.features import make_group
from proml_kedro.commands.model_describe import describe_command
from proml_kedro.commands.model_effects import effects_command
from proml_kedro.config.folders import shipped
from proml_kedro.errors import Mistake, UserError, unknown

OVERRIDES = "overrides"

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

FAULT = 70
"""Exit code after an error that is not the user's (EX_SOFTWARE)."""


def _use_shipped_logging() -> None:
    """Below the project's folder Kedro does not find its logging.yml, and would write logs between results."""
    if "KEDRO_LOGGING_CONFIG" in os.environ or Path("conf/logging.yml").is_file():
        return
    import yaml
    from kedro.framework.project import LOGGING

    LOGGING.configure(yaml.safe_load((shipped() / "logging.yml").read_text()))


_use_shipped_logging()


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Click's and Kedro's own complaints about options, in the form of ours."""
    try:
        yield
    except (click.UsageError, KedroCliError) as error:
        raise UserError(Mistake("", " ".join(error.format_message().split()))) from error


class _Command(click.Command):
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
        except Exception:  # noqa: BLE001 - a fault of ours, shown whole
            traceback.print_exc()
            sys.exit(FAULT)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from proml_kedro.config.completion import complete

    conf = ctx.params.get("conf_source") or _conf_of_project()
    try:
        return complete(Path(conf), incomplete, ctx.params.get(OVERRIDES) or ())
    except (UserError, OSError):  # while a line is being typed, nothing is said about what is wrong elsewhere
        return []


def _conf_of_project() -> str:
    from kedro.framework.project import settings
    from kedro.utils import find_kedro_project

    return str((find_kedro_project(Path.cwd()) or Path.cwd()) / settings.CONF_SOURCE)


def _overrides() -> click.Argument:
    return click.Argument(
        [OVERRIDES], nargs=-1, type=click.UNPROCESSED, shell_complete=_complete, metavar="[KEY=VALUE]..."
    )


@click.group(context_settings=CONTEXT_SETTINGS, name="proml_kedro")
def cli() -> None:
    """Commands of proml_kedro."""


def _run(overrides: tuple[str, ...], params: dict[str, Any], **options: Any) -> Any:
    _check_selection(options)
    if overrides:
        params = {**params, OVERRIDES: [*params.get(OVERRIDES, []), *overrides]}
    return kedro_run.callback(params=params, **options)  # type: ignore[misc]


def _check_selection(options: dict[str, Any]) -> None:
    """See that what is to be run exists, before Kedro answers with a traceback.

    Raises:
        UserError: An unknown pipeline, node, tag or dataset, or an unknown runner.
    """
    if options["only_missing_outputs"]:  # Kedro would ask whether any result is there, of whatever configuration
        message = "leave it out; results of the same configuration are taken over in any case"
        raise UserError(Mistake("", message, "option --only-missing-outputs"))
    _check_runner(options["runner"])
    names = options["pipelines"] or [options["pipeline"] or "__default__"]
    selection = {
        "tags": options["tags"],
        "from_nodes": options["from_nodes"],
        "to_nodes": options["to_nodes"],
        "node_names": options["node_names"],
        "from_inputs": options["from_inputs"],
        "to_outputs": options["to_outputs"],
        "node_namespaces": options["namespaces"],
    }
    if names == ["__default__"] and not any(selection.values()):
        return
    from kedro.framework.project import pipelines
    from kedro.pipeline import Pipeline

    mistakes = [
        Mistake("", unknown("pipeline", name, set(pipelines) - {"__default__"}), "option --pipelines")
        for name in names
        if name not in pipelines
    ]
    if mistakes:
        raise UserError(*mistakes)
    try:
        sum((pipelines[name] for name in names), Pipeline([])).filter(**selection)
    except ValueError as error:
        raise UserError(Mistake("", " ".join(str(error).split()))) from error


def _check_runner(name: str | None) -> None:
    from kedro.utils import load_obj

    try:
        load_obj(name or "SequentialRunner", "kedro.runner")
    except (AttributeError, ImportError, ValueError) as error:
        known = ("SequentialRunner", "ParallelRunner", "ThreadRunner")
        raise UserError(Mistake("", unknown("runner", str(name), known), "option --runner")) from error


def _read_run_file(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Take options from a file, as Kedro does.

    Raises:
        UserError: It is not YAML, or has no key `run`.
    """
    if value is None:
        return None
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    where = f"option --config={value}"
    try:
        content = OmegaConf.to_container(OmegaConf.load(value))
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise UserError(Mistake("", "not valid YAML", where)) from error
    options = content.get("run") if isinstance(content, dict) else None
    if not isinstance(options, dict):
        raise UserError(Mistake("", "must hold the key 'run', with options of `kedro run` below it", where))
    known = {str(option.name) for option in kedro_run.params} - {"config"}
    mistakes = [Mistake("", unknown("option", str(name), known), where) for name in options if name not in known]
    if mistakes:
        raise UserError(*mistakes)
    ctx.default_map = {**(ctx.default_map or {}), **options}
    return value


def _options_of_run() -> list[click.Parameter]:
    """Kedro's options, the deprecated ones still accepted but not shown."""
    for option in kedro_run.params:
        if option.name == "config":
            option.callback = _read_run_file
        if option.name in ("pipeline", "is_async") and isinstance(option, click.Option):
            option.hidden = True
    return list(kedro_run.params)


run = _Command(
    "run",
    callback=_run,
    params=[_overrides(), *_options_of_run()],
    help="""Run the pipelines, with the configuration changed by each KEY=VALUE.

    \b
      model=logistic                               another file of a group
      model.components.trees.params.max_depth=4    another value
      +problem.tables.holidays.source=holidays.csv a new name, where names are yours to choose
      ~evaluation.baseline                         without it
      experiment=quick                             a set of changes in a file

    Results of earlier runs are taken over where nothing that they depend on has changed. `kedro config show` prints
    what a run would use.
    """,
)
cli.add_command(run)


@cli.group()
def config() -> None:
    """Look at the configuration."""


def _show(overrides: tuple[str, ...], resolved: bool, origin: bool, env: str | None, conf_source: str | None) -> None:
    from proml_kedro.config import HydraConfigLoader
    from proml_kedro.config.show import as_yaml, with_origins

    env = env or os.getenv("KEDRO_ENV")
    loader = HydraConfigLoader(conf_source or _conf_of_project(), env, {OVERRIDES: list(overrides)})
    show = with_origins if origin else as_yaml
    click.echo(show(loader.loaded, resolved), nl=False)


config.add_command(
    _Command(
        "show",
        callback=_show,
        params=[
            _overrides(),
            click.Option(["--resolved"], is_flag=True, help="Resolve ${…}, and fill in what nobody wrote."),
            click.Option(["--origin"], is_flag=True, help="Print behind each value where it was written."),
            click.Option(["--env", "-e"], help="Kedro environment: a file of conf/env."),
            click.Option(["--conf-source"], help="Folder or archive with the configuration."),
        ],
        help="Print the configuration that a run with the same KEY=VALUE would use.",
    )
)

cli.add_command(make_group(_Command, _overrides, _conf_of_project))
cli.add_command(workspace.make_command(_Command, _overrides, _conf_of_project))


@cli.group()
def model() -> None:
    """Look at the configured model, or at one that was trained."""


model.add_command(effects_command(_Command))
model.add_command(describe_command(_Command, _overrides, _conf_of_project))
