"""`kedro model register|list|show|promote|rollback|retire`: versions of a problem's models, and which one is live."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.release.log import Event
    from proml_kedro.release.registry import Registered, Registry, Version
    from proml_kedro.release.scored import Shelf

_REFUSED = 1
"""Exit code when a version is not made live because of what speaks against it."""

_REGISTER = """Register a trained model as the next version of its problem.

    BUNDLE is the folder of a bundle or the beginning of a run's id; the newest bundle of the configured model when left
    out. It is proved by its golden rows and copied to data/release, so that nothing frees or changes it.
    """
_PROMOTE = """Make a version live: the newest challenger, or VERSION.

    It is refused, with exit code 1, when its evaluation or a gate speaks against it, when it looks worse than what is
    live on the same examples, when its model's data have drifted, or when features that it looks up are gone; --force
    passes over that, and the log keeps it. A bundle that does not score its golden rows is refused in any case.
    `kedro serve PROBLEM` changes to the version without losing a request.
    """
_ROLLBACK = """Make the version live again that was before this one. Exit code 2 when there is none.

    It is refused, with exit code 1, when features that it looks up are gone; --force passes over that. Retired ones
    are passed by.
    """
_RETIRE = "Archive a version that is not live, so that nobody promotes it by mistake."
_LIST = "List the versions of the configured problem, the newest first: which is live, how good, from whom."
_SHOW = "Say all that is known of a version, and all that was done with it."


def registry_commands() -> list[click.Command]:
    """Make the commands."""
    why = click.Option(["--why"], default="", callback=_one_line, help="What the log is to remember.")
    force = click.Option(["--force"], is_flag=True, help="Whatever speaks against it; needs --why.")
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
    words = click.Argument(["words"], nargs=-1, metavar="[BUNDLE] [KEY=VALUE]...")
    version = click.Argument(["version"], type=click.IntRange(1))
    chosen = click.Argument(["words"], nargs=-1, metavar="[VERSION] [KEY=VALUE]...")
    overrides = overrides_argument()
    return [
        Command(name, callback=callback, params=[*params, *configuration_options()], help=text)
        for name, callback, params, text in (
            ("register", _register, [words, why], _REGISTER),
            ("list", _list, [overrides, as_json], _LIST),
            ("show", _show, [version, overrides, as_json], _SHOW),
            ("promote", _promote, [chosen, why, force], _PROMOTE),
            ("rollback", _rollback, [overrides, why, force], _ROLLBACK),
            ("retire", _retire, [version, overrides, why], _RETIRE),
        )
    ]


def _one_line(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return " ".join(value.split())


def _register(words: tuple[str, ...], why: str, env: str | None, conf_source: str) -> None:
    name, overrides = _split(words, "BUNDLE")
    project = _project(overrides, env, conf_source)
    registry, shelf = _registry(project), _shelf(project)
    bundle = shelf.bundle(name) if name else project.places.at("bundle")
    try:
        evaluation = shelf.evaluation_of(bundle)
    except UserError:
        evaluation = None
    before = registry.read().versions
    version = registry.register(bundle, evaluation, why)
    if version.number in before:
        click.echo(f"this bundle is version {version.number} already ({version.stage})")
        return
    click.echo(f"version {version.number} of {registry.problem}: {version.bundle}")
    if evaluation is None:
        click.echo("its evaluation is not in the data folder: it cannot be compared with what is live")
    click.echo(f"make it live with `kedro model promote {version.number}`")


def _promote(words: tuple[str, ...], why: str, force: bool, env: str | None, conf_source: str) -> None:
    from proml_kedro.bundle.integrity import verify
    from proml_kedro.release.promotion import judge

    _need_why(force, why)
    name, overrides = _split(words, "VERSION")
    project = _project(overrides, env, conf_source)
    registry = _registry(project)
    seen = registry.read()
    version = seen.version(_number(name)) if name else _newest(seen)
    if version.stage == "champion":
        registry.finish()
        click.echo(f"version {version.number} is live already")
        return
    if version.stage == "archived" and not force:
        message = f"version {version.number} is archived; roll back to what was live before, or say --force and --why"
        raise UserError(Mistake("", message))
    found = judge(version, seen.champion, project.spec.features, _shelf(project))
    for line in found.remarks:
        click.echo(line)
    _refuse_unless(force, version, found.against)
    registry.promote(version, why, found.against, seen, lambda: verify(version.bundle))
    click.echo(_is_live(registry, version))


def _rollback(overrides: tuple[str, ...], why: str, force: bool, env: str | None, conf_source: str) -> None:
    from proml_kedro.bundle.integrity import verify
    from proml_kedro.release.promotion import of_features

    _need_why(force, why)
    project = _project(overrides, env, conf_source)
    registry = _registry(project)
    seen = registry.read()
    version = seen.before
    verify(version.bundle)
    against = list(of_features(version, project.spec.features))
    _refuse_unless(force, version, against)
    registry.rollback(why, against, seen, lambda: verify(version.bundle))
    click.echo(_is_live(registry, version))


def _need_why(force: bool, why: str) -> None:
    if force and not why:
        raise UserError(Mistake("", "say --why what speaks against it is passed over", "option --force"))


def _refuse_unless(force: bool, version: Version, against: Sequence[str]) -> None:
    for line in against:
        click.echo(line)
    if against and not force:
        click.echo(f"version {version.number} is not made live; --force and --why pass over it", err=True)
        sys.exit(_REFUSED)


def _retire(version: int, overrides: tuple[str, ...], why: str, env: str | None, conf_source: str) -> None:
    registry = _registry(_project(overrides, env, conf_source))
    registry.retire(registry.read().version(version), why)
    click.echo(f"version {version} of {registry.problem} is archived")


def _list(overrides: tuple[str, ...], as_json: bool, env: str | None, conf_source: str) -> None:
    registry = _registry(_project(overrides, env, conf_source))
    now = registry.read()
    versions = sorted(now.versions.values(), key=lambda one: -one.number)
    last = {event.version: event for event in now.log.events}
    if not registry.is_said(now):
        click.echo(f"{registry.pointer} does not name the champion; `kedro model promote` of it mends that", err=True)
    if as_json:
        plain = [{**_plain(one), "last": asdict(last[one.number])} for one in versions]
        click.echo(json.dumps(plain, ensure_ascii=False))
    elif not versions:
        click.echo(
            f"no version of {registry.problem} is registered yet; `kedro model register` takes the newest bundle"
        )
    else:
        heading = ("version", "stage", "model", "metric", "registered (UTC)", "by", "why", "last")
        rows = [heading, *(_row(one, last[one.number]) for one in versions)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        for row in rows:
            click.echo("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip())


def _show(version: int, overrides: tuple[str, ...], as_json: bool, env: str | None, conf_source: str) -> None:
    now = _registry(_project(overrides, env, conf_source)).read()
    one = now.version(version)
    events = [event for event in now.log.events if event.version == version]
    if as_json:
        click.echo(json.dumps({**_plain(one), "events": [asdict(event) for event in events]}, ensure_ascii=False))
        return
    for key, value in _plain(one).items():
        click.echo(f"{key:<12} {value}")
    for event in events:
        forced = f", although {'; '.join(event.forced)}" if event.forced else ""
        click.echo(f"{event.at[:19].replace('T', ' ')}  {event.action:<9} by {event.by}{forced}  {event.why}".rstrip())


def _plain(one: Version) -> dict[str, Any]:
    from proml_kedro.bundle import BundleOutline
    from proml_kedro.results import Metrics, UnreadableError

    metrics: dict[str, float | None] = {}
    with suppress(UnreadableError):  # of an earlier version
        metrics = dict(Metrics.read(one.bundle).candidate)
    tag = "(missing)"
    with suppress(UnreadableError):
        tag = BundleOutline.read(one.bundle).tag
    return {
        "version": one.number,
        "stage": one.stage,
        "bundle": tag,
        "metrics": metrics,
        "registered": one.registered.at,
        "by": one.registered.by,
        "why": one.registered.why,
        "digest": one.registered.digest,
        "folder": str(one.bundle),
    }


def _row(one: Version, last: Event) -> tuple[str, ...]:
    plain = _plain(one)
    done = "" if last.action == "register" else f"{last.action} by {last.by}{f': {last.why}' if last.why else ''}"
    name, value = next(iter(plain["metrics"].items()), ("", None))
    metric = f"{name} undefined" if value is None else f"{name} {value:.4f}"
    at = plain["registered"][:19].replace("T", " ")
    return str(one.number), one.stage, plain["bundle"], metric, at, plain["by"], plain["why"], done


def _split(words: Sequence[str], what: str) -> tuple[str | None, list[str]]:
    """Take apart what is named and KEY=VALUE."""
    named = [one for one in words if "=" not in one and not one.startswith("~")]
    if len(named) > 1:
        raise UserError(Mistake("", f"name one, not {' and '.join(named)}", f"argument {what}"))
    return (named[0] if named else None), [one for one in words if one not in named]


def _number(word: str) -> int:
    if not word.isdecimal():
        raise UserError(Mistake("", f"'{word}' is no number of `kedro model list`", "argument VERSION"))
    return int(word)


def _newest(seen: Registered) -> Version:
    waiting = [one for one in seen.versions.values() if one.stage == "challenger"]
    if not waiting:
        raise UserError(Mistake("", "no version waits to be made live; `kedro model register` takes the newest bundle"))
    return waiting[-1]


def _is_live(registry: Registry, version: Version) -> str:
    return f"version {version.number} of {registry.problem} is live; `kedro serve {registry.problem}` serves it"


def _project(overrides: Sequence[str], env: str | None, conf_source: str) -> Project:
    from proml_kedro.project import Project

    return Project(conf_source, list(overrides), env)


def _registry(project: Project) -> Registry:
    from proml_kedro.release.registry import Registry

    return Registry(project.data_dir, project.spec.problem.name)


def _shelf(project: Project) -> Shelf:
    from proml_kedro.release.scored import Shelf
    from proml_kedro.results.run_record import read_records

    records = [one for _, one in read_records(project.data_dir, lambda line: click.echo(line, err=True))]
    return Shelf(project.store(), project.places, records)
