"""`kedro sweep`: try many variations of a model, and keep the best."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.errors import Mistake, UserError, masked_setting

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.results.trial import Trial
    from proml_kedro.search import Search

_HELP = """Try variations of a model, each KEY=VALUE with several values, and judge the best one on the test period.

    \b
      model=xgboost,linear                                         files of a group
      'model.components.trees.params.max_depth=range(3,9)'         3 to 8
      'model.components.trees.params.gamma=choice(0,0.1,1)'
      'model.components.trees.params.reg_lambda=tag(log,interval(0.1,100))'
      search.trials=60 search.cpu=20m search.sampler=random        how many, for how long, in which order

    Trials are compared on the validation part of the split. The same command goes on with a search that was killed, and
    several of them at once share its trials.
    """

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def sweep_command() -> Command:
    """Make the command `sweep`."""
    return Command(
        "sweep",
        callback=sweep,
        params=[
            overrides_argument(),
            click.Option(["--experiment"], metavar="NAME", help="Write the best one to conf/experiment/NAME.yaml."),
            click.Option(["--register"], is_flag=True, help="Register the best one, so that it can be made live."),
            click.Option(["--dry-run"], is_flag=True, help="Say what would be tried, and try nothing."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            *configuration_options(),
        ],
        help=_HELP,
    )


def sweep(
    overrides: tuple[str, ...],
    env: str | None,
    conf_source: str,
    experiment: str | None = None,
    register: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Search, and say what came of it."""
    from proml_kedro.project import Project

    project = Project(conf_source, (), env).with_only(*overrides)
    file = _experiment_file(project, experiment) if experiment else None
    if dry_run:
        for line in _plan(project):
            click.echo(line)
        return
    from proml_kedro.search import open_search
    from proml_kedro.search.judge import judge

    search = open_search(project)
    for line in search.notices:
        click.echo(line, err=True)
    click.echo(f"search {search.study.name} in {search.study.folder}", err=True)
    trials = search.run()
    winner = judge(search, search.best(trials))
    content = _as_json(search, trials, winner)
    (search.study.folder / "result.json").write_text(json.dumps(content, indent=1))
    lines = list(_report(search, trials, winner))
    _write_page(search, trials, winner, lines)
    for line in () if as_json else lines:
        click.echo(line)
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False))
    if file:
        _write_experiment(file, search, winner.trial)
    if register:
        _register(search, winner)


def _plan(project: Project) -> Iterator[str]:
    from proml_kedro.search.space import read_space

    base, space, notices = read_space(project)
    yield from notices
    yield from (one.written for one in space.dimensions)
    many = "combinations without number" if space.size is None else f"{space.size:,} combinations"
    yield f"{many}; search.trials={base.spec.search.trials} search.sampler={base.spec.search.sampler}"


def _report(search: Search, trials: list[Trial], winner: Any) -> Iterator[str]:
    from proml_kedro.search.importance import comparable, importance
    from proml_kedro.search.report import as_yaml, importances, table

    measured = [one for one in trials if one.value is not None]
    failed = sum(one.state == "failed" for one in trials)
    seconds, pruned = sum(one.cpu_seconds for one in trials), sum(one.state == "pruned" for one in trials)
    ended = f"{failed} of them failed, {pruned} ended early"
    yield f"{len(trials)} trials, {ended}, {seconds:,.1f} CPU-s; {search.facts.sampler}"
    if search.project.spec.search.pruning != "none" and not any(one.steps for one in trials):
        yield "search.pruning ended nothing: no model had a curve to compare"
    yield from table(trials, search.facts)
    alike = comparable(search.space, measured, winner.trial)
    yield from importances(importance(search.space, search.facts, alike), len(alike))
    yield f"the best is trial {winner.trial.number}:"
    yield from winner.lines(search, len(measured))
    yield f"its YAML, for a file of conf/experiment:\n{as_yaml(search.project, winner.trial)}"
    yield f"its bundle: {winner.bundle}"
    yield f"all trials: {search.study.folder / 'report.html'}"
    yield f"register it: kedro model register {winner.bundle}"


def _write_page(search: Search, trials: list[Trial], winner: Any, lines: list[str]) -> None:
    from proml_kedro.search.page import FILE, as_page
    from proml_kedro.search.report import as_yaml

    measured = sum(one.value is not None for one in trials)
    words = [lines[0], *(one for one in lines if one.startswith("share in")), *winner.lines(search, measured)]
    page = as_page(search.space, search.facts, trials, words, as_yaml(search.project, winner.trial))
    (search.study.folder / FILE).write_text(page, encoding="utf-8")


def _as_json(search: Search, trials: list[Trial], winner: Any) -> dict[str, Any]:
    facts = search.facts
    return {
        "search": search.study.name,
        "metric": facts.metric,
        "sampler": facts.sampler,
        "winner": winner.trial.number,
        "overrides": list(winner.trial.overrides),
        "validation": winner.trial.value,
        "test": winner.metrics.candidate.get(facts.metric),
        "judged": winner.judged,
        "bundle": str(winner.bundle),
        "evaluation": str(winner.evaluation),
        "trials": [one.as_dict() for one in trials],
    }


def _experiment_file(project: Project, name: str) -> Path:
    if not _FILE_NAME.fullmatch(name):
        raise UserError(Mistake("", "write a name of letters, digits, _ and -", "option --experiment"))
    file = project.folders.own / "experiment" / f"{name}.yaml"
    if file.exists():
        raise UserError(Mistake("", f"there is a file {file} already; choose another name", "option --experiment"))
    return file


def _write_experiment(file: Path, search: Search, trial: Trial) -> None:
    from proml_kedro.atomic import cannot_write, write_whole
    from proml_kedro.search.report import as_yaml, choice_of

    with cannot_write(file):
        file.parent.mkdir(exist_ok=True)
        write_whole(file, as_yaml(search.project, trial))
    choice = choice_of(search.project, trial, file.stem)
    if choice is None:
        file.unlink()
        words = shlex.join(["kedro", "run", *map(masked_setting, [*search.project.overrides, *trial.overrides])])
        click.echo(f"no file can say what the best trial is; this makes the same model: {words}", err=True)
    else:
        click.echo(f"written to {file}: kedro run {choice}", err=True)


def _register(search: Search, winner: Any) -> None:
    from proml_kedro.release.registry import Registry

    registry = Registry(search.project.data_dir, search.facts.problem)
    version = registry.register(winner.bundle, winner.evaluation, f"trial {winner.trial.number} of {search.study.name}")
    command = f"kedro model promote {version.number}"
    click.echo(f"version {version.number} of {registry.problem}: make it live with `{command}`", err=True)
