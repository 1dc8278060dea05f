"""`kedro serve`: answer requests with the scores of a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from proml_kedro.commands.base import OVERRIDES, Command
from proml_kedro.errors import Mistake, UserError, did_you_mean, unknown

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.spec import ServingSpec

_BESIDE = ("serving.challenger", "serving.places", "serving.standby", "serving.verify_key")
"""What may be said beside a bundle, which is served as it is."""

_HELP = """Serve a model over HTTP.

    TARGET is the folder of a trained model (a bundle), or the name of a problem. Of a problem the bundle is served that
    data/release/PROBLEM.json names, and another one as soon as that changes; the newest where there is no such file, or
    where OVERRIDES such as model=logistic choose the model. http://HOST:PORT/ says what can be asked.

    The model is loaded and proved by its golden rows before anything is answered. SIGHUP loads it anew: requests are
    answered by the old one until the new one is proved. serving.challenger.bundle=FOLDER lets a second model score
    beside it, of a bundle too. serving.places puts parts of the scoring into processes of their own, each of which is
    started with --place NAME and the same TARGET and OVERRIDES. Beyond this machine (--host) clients need a token,
    which the variable PROML_API_TOKEN holds. Exit code 2 when something is wrong.
    """


def serve_command() -> click.Command:
    """Make the command `serve`."""
    return Command(
        "serve",
        callback=_serve,
        params=[
            click.Argument(["target"]),
            click.Argument([OVERRIDES], nargs=-1),
            click.Option(["--host"], help="Address to listen at; 127.0.0.1 if left out."),
            click.Option(
                ["--port"],
                type=click.IntRange(0, 65535),
                help="3000 if left out, or that of the place's URL; 0 for a free one.",
            ),
            click.Option(["--place"], help="Do what this place of serving.places does, and answer no requests."),
            click.Option(["--workers"], type=click.IntRange(1, 256), help="Processes; as the bundle says if left out."),
            click.Option(["--online/--no-online"], default=True, help="Whether features are looked up by key."),
            click.Option(["--log"], help="Folder of the prediction log; as serving.predictions says if left out."),
        ],
        help=_HELP,
    )


@dataclass(frozen=True)
class _Options:
    host: str | None
    port: int | None
    place: str | None
    workers: int | None
    online: bool
    log: str | None


def _serve(target: str, overrides: Sequence[str], **given: Any) -> None:
    from proml_kedro.bundle import Manifest
    from proml_kedro.serving.http.address import refuse_without_token
    from proml_kedro.serving.http.match import matched
    from proml_kedro.serving.http.supervisor import Service, serve
    from proml_kedro.spec import check_places

    options = _Options(**given)
    bundle = _bundle(target, overrides)
    champion = Manifest.read(bundle())
    serving = _beside(target, overrides)
    if mistakes := [*check_places(serving.places, champion.model.components)]:
        raise UserError(*mistakes)
    host, port = _address(options, serving)
    refuse_without_token(host)
    if serving.challenger is not None and options.place is None:
        matched(serving.challenger, champion)
    beside = serving.model_dump(mode="json", include={"challenger", "places"})
    service = Service(
        bundle,
        host,
        port,
        options.workers or champion.serving.workers,
        online=options.online,
        log=options.log,
        state=getattr(bundle, "state", lambda: None),
        challenger=beside["challenger"] or {},
        places=beside["places"],
        place=options.place,
        standby=champion.serving.standby and serving.standby,
        verify_key=str(Path(serving.verify_key).resolve()) if serving.verify_key else None,
    )
    serve(service, lambda line: click.echo(line, err=True))


def _address(options: _Options, serving: ServingSpec) -> tuple[str, int]:
    """Where to listen: as options say, or the URL of the place.

    Raises:
        UserError: There is no such place, or others have to know where it is.
    """
    from proml_kedro.serving.http.address import is_this_machine

    port = 3000
    if options.place is not None:
        if options.place not in serving.places:
            raise UserError(Mistake("", unknown("place", options.place, serving.places), "option --place"))
        parts = urlsplit(serving.places[options.place].url)
        port = parts.port or port
        if options.host is None and not is_this_machine(parts.hostname or ""):
            message = f"the place is asked at {parts.hostname}: say at which address of this machine it listens"
            raise UserError(Mistake("", f"{message}, such as --host 0.0.0.0", f"option --place={options.place}"))
    return options.host or "127.0.0.1", port if options.port is None else options.port


def _bundle(target: str, overrides: Sequence[str]) -> Callable[[], Path]:
    """The folder to serve: asked anew each time, since a link may have moved.

    Raises:
        UserError: There is no such bundle or problem.
    """
    from proml_kedro.results.names import MANIFEST

    folder = Path(target)
    if (folder / MANIFEST).is_file():
        if others := [one for one in overrides if not _is_beside(one)]:
            message = f"a bundle is served as it is; leave out all but {_BESIDE[0]}.…, {', '.join(_BESIDE[1:])}"
            raise UserError(Mistake("", message, others[0]))
        return lambda: folder
    if folder.is_dir() or os.sep in target:
        raise UserError(Mistake("", f"there is no bundle in '{target}': it has no {MANIFEST}", "argument TARGET"))
    return _newest(target, overrides)


def _newest(problem: str, overrides: Sequence[str]) -> Callable[[], Path]:
    from proml_kedro.project import Project
    from proml_kedro.results.live import live_file
    from proml_kedro.results.names import MANIFEST
    from proml_kedro.serving.http.champion import Champion

    known = sorted(one.stem for one in (Path.cwd() / "conf" / "problem").glob("*.yaml"))
    if known and problem not in known:
        message = f"no bundle and no problem '{problem}'.{did_you_mean(problem, known)}"
        raise UserError(Mistake("", message, "argument TARGET"))
    project = Project.at(".", f"problem={problem}", *overrides)
    place, pointer = project.places.at("bundle"), live_file(project.data_dir, problem)
    if not pointer.exists() and not (place / MANIFEST).is_file():
        raise UserError(Mistake("", _no_bundle(project, problem, place), "argument TARGET"))
    # Who chooses a model by overrides wants that one, whichever is live.
    return Champion(None if any(not _is_beside(one) for one in overrides) else pointer, place)


def _is_beside(override: str) -> bool:
    return override.partition("=")[0].startswith(_BESIDE)


def _beside(target: str, overrides: Sequence[str]) -> ServingSpec:
    """What is served beside a bundle, as overrides say, or as the configuration of a problem does.

    Raises:
        UserError: It is not configured as it can be.
    """
    from pydantic import ValidationError

    from proml_kedro.project import Project
    from proml_kedro.results.names import MANIFEST
    from proml_kedro.spec import ServingSpec

    if not (Path(target) / MANIFEST).is_file():
        return Project.at(".", f"problem={target}", *overrides).spec.serving
    try:
        return ServingSpec.model_validate(_nested(overrides))
    except ValidationError as error:
        found = [
            (".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, "))
            for one in error.errors(include_url=False)
        ]
        raise UserError(*(Mistake(f"serving.{key}", said) for key, said in found)) from error


def _nested(overrides: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE, whose keys begin with ``serving.``, into dictionaries."""
    import yaml

    told: dict[str, Any] = {}
    for one in overrides:
        key, _, value = one.partition("=")
        *path, last = key.split(".")[1:]
        inner = told
        try:
            for name in path:
                inner = inner.setdefault(name, {})
            inner[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(Mistake(key, "is no YAML")) from error
        except (AttributeError, TypeError) as error:
            raise UserError(Mistake(key, "is said in two ways; leave one of them out")) from error
    return told


def _no_bundle(project: Project, problem: str, place: Path) -> str:
    """Say that the configured model of a problem has no bundle, and which other ones have."""
    others = [model for _, model in project.places.find("bundle", problem)]
    if not others:
        return f"'{problem}' has no bundle yet, at {place}; make it with `kedro run problem={problem}`"
    ways = " or ".join(f"`kedro serve {problem} model={model}`" for model in others)
    return f"'{problem}' has no bundle of model '{project.spec.model.name}', which is configured; write {ways}"
