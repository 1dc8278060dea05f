"""`kedro serve`: answer requests with the scores of a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proml_kedro.commands.base import OVERRIDES, Command
from proml_kedro.errors import Mistake, UserError, did_you_mean

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.spec import ChallengerSpec

_CHALLENGER = "serving.challenger."

_HELP = """Serve a model over HTTP.

    TARGET is the folder of a trained model (a bundle), or the name of a problem. Of a problem the bundle is served that
    data/release/PROBLEM.json names, and another one as soon as that changes; the newest where there is no such file, or
    where OVERRIDES such as model=logistic choose the model. http://HOST:PORT/ says what can be asked.

    The model is loaded and proved by its golden rows before anything is answered. SIGHUP loads it anew: requests are
    answered by the old one until the new one is proved. serving.challenger.bundle=FOLDER lets a second model score
    beside it, of a bundle too. Beyond this machine (--host) clients need a token, which the
    variable PROML_API_TOKEN holds. Exit code 2 when something is wrong.
    """


def serve_command() -> click.Command:
    """Make the command `serve`."""
    return Command(
        "serve",
        callback=_serve,
        params=[
            click.Argument(["target"]),
            click.Argument([OVERRIDES], nargs=-1),
            click.Option(["--host"], default="127.0.0.1", show_default=True, help="Address to listen at."),
            click.Option(
                ["--port"], type=click.IntRange(0, 65535), default=3000, show_default=True, help="0 for a free one."
            ),
            click.Option(["--workers"], type=click.IntRange(1, 256), help="Processes; as the bundle says if left out."),
            click.Option(["--online/--no-online"], default=True, help="Whether features are looked up by key."),
            click.Option(["--log"], help="Folder of the prediction log; as serving.predictions says if left out."),
        ],
        help=_HELP,
    )


def _serve(
    target: str,
    overrides: Sequence[str],
    host: str,
    port: int,
    workers: int | None,
    online: bool,
    log: str | None,
) -> None:
    from proml_kedro.bundle import Manifest
    from proml_kedro.serving.http.address import refuse_without_token
    from proml_kedro.serving.http.match import matched
    from proml_kedro.serving.http.supervisor import Service, serve

    refuse_without_token(host)
    bundle = _bundle(target, overrides)
    champion = Manifest.read(bundle())
    challenger = _challenger(target, overrides)
    if challenger is not None:
        matched(challenger, champion)
    service = Service(
        bundle,
        host,
        port,
        workers or champion.serving.workers,
        online=online,
        log=log,
        state=getattr(bundle, "state", lambda: None),
        challenger=challenger.model_dump(mode="json") if challenger else {},
    )
    serve(service, lambda line: click.echo(line, err=True))


def _bundle(target: str, overrides: Sequence[str]) -> Callable[[], Path]:
    """The folder to serve: asked anew each time, since a link may have moved.

    Raises:
        UserError: There is no such bundle or problem.
    """
    from proml_kedro.results.names import MANIFEST

    folder = Path(target)
    if (folder / MANIFEST).is_file():
        if others := [one for one in overrides if not one.startswith(_CHALLENGER)]:
            message = f"a bundle is served as it is, beside a challenger at most; leave out all but {_CHALLENGER}…"
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
    return Champion(None if any(not one.startswith(_CHALLENGER) for one in overrides) else pointer, place)


def _challenger(target: str, overrides: Sequence[str]) -> ChallengerSpec | None:
    """The challenger that overrides name, or that the configuration of a problem does; None for none.

    Raises:
        UserError: It is not configured as it can be.
    """
    import yaml
    from pydantic import ValidationError

    from proml_kedro.project import Project
    from proml_kedro.results.names import MANIFEST
    from proml_kedro.spec import ChallengerSpec

    if not (Path(target) / MANIFEST).is_file():
        return Project.at(".", f"problem={target}", *overrides).spec.serving.challenger
    told = [one.removeprefix(_CHALLENGER).partition("=") for one in overrides]
    if not told:
        return None
    try:
        return ChallengerSpec.model_validate({key: yaml.safe_load(value) for key, _, value in told})
    except ValidationError as error:
        found = [
            (".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, "))
            for one in error.errors(include_url=False)
        ]
        raise UserError(*(Mistake(f"{_CHALLENGER}{key}".rstrip("."), said) for key, said in found)) from error


def _no_bundle(project: Project, problem: str, place: Path) -> str:
    """Say that the configured model of a problem has no bundle, and which other ones have."""
    others = [model for _, model in project.places.find("bundle", problem)]
    if not others:
        return f"'{problem}' has no bundle yet, at {place}; make it with `kedro run problem={problem}`"
    ways = " or ".join(f"`kedro serve {problem} model={model}`" for model in others)
    return f"'{problem}' has no bundle of model '{project.spec.model.name}', which is configured; write {ways}"
