"""`kedro run`: Kedro's command with overrides as arguments, and with mistakes found before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from proml_kedro.commands.base import OVERRIDES, Command, conf_of_project, overrides_argument
from proml_kedro.commands.boundary import explain
from proml_kedro.commands.sweep import sweep
from proml_kedro.config.yaml_size import check_size
from proml_kedro.errors import Mistake, UserError, unknown

_HELP = """Run the pipelines, with the configuration changed by each KEY=VALUE.

    \b
      model=logistic                               another file of a group
      model.components.trees.params.max_depth=4    another value
      +problem.tables.holidays.source=holidays.csv a new name, where names are yours to choose
      ~evaluation.baseline                         without it
      experiment=quick                             a set of changes in a file

    Results of earlier runs are taken over where nothing that they depend on has changed. `kedro config show` prints
    what a run would use.
    """


def run_command() -> click.Command:
    """Make the command `run`."""
    multirun = click.Option(["--multirun", "-m"], is_flag=True, help="As `kedro sweep`, with a key of several values.")
    return Command("run", callback=_run, params=[overrides_argument(), multirun, *_options_of_run()], help=_HELP)


def _options_of_run() -> list[click.Parameter]:
    """Take Kedro's options; the deprecated ones are still accepted but not shown."""
    for option in kedro_run.params:
        if option.name == "config":
            option.callback = _read_run_file
        if option.name in ("pipeline", "is_async") and isinstance(option, click.Option):
            option.hidden = True
    return list(kedro_run.params)


def _run(overrides: tuple[str, ...], multirun: bool, params: dict[str, Any], **options: Any) -> Any:
    if multirun:
        return _sweep(overrides, params, options)
    _check_selection(options)
    if overrides:
        params = {**params, OVERRIDES: [*params.get(OVERRIDES, []), *overrides]}
    try:
        return kedro_run.callback(params=params, **options)  # type: ignore[misc]
    except BaseException as error:
        if recording := sys.modules.get("proml_kedro.workflow.recording"):  # otherwise no run has begun
            recording.fail_last(explain(error) or error)
        raise


def _sweep(overrides: tuple[str, ...], params: dict[str, Any], options: dict[str, Any]) -> None:
    """Search, with the options that a search has.

    Raises:
        UserError: There are others, which say what of one run is made.
    """
    given = {name for name, value in options.items() if value not in (None, False, "", [], (), {})}
    others = sorted([*(given - {"env", "conf_source"}), *(["params"] if params else [])])
    if others:
        message = f"a search has no option --{others[0].replace('_', '-')}; leave it out"
        raise UserError(Mistake("", message, "option --multirun"))
    sweep(overrides, options["env"], options["conf_source"] or conf_of_project())


def _check_selection(options: dict[str, Any]) -> None:
    """Check that what is to be run exists, before Kedro answers with a traceback.

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
    if names != ["__default__"] or any(selection.values()):
        _check_pipelines(names, selection)


def _check_pipelines(names: list[str], selection: dict[str, Any]) -> None:
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
    if endless := list(check_size(Path(value), where)):
        raise UserError(*endless)
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
