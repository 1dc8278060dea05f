"""`kedro workspace`: the local page of a project."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.workspace.snapshot import Snapshot

PORT = 4242


def make_command() -> click.Command:
    """Make the command `workspace`."""
    return Command(
        "workspace",
        callback=_workspace,
        params=[
            overrides_argument(),
            click.Option(
                ["--port"], type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 for any free one."
            ),
            click.Option(["--no-browser"], is_flag=True, help="Only print the address."),
            *configuration_options(),
        ],
        help="""Show features, models and health on a local page.

        The page reads the configuration and the results in data_dir, follows them while it is open, and changes
        nothing but what you say of anomalies. It can be opened on this machine only, and needs no network. Ctrl-C
        stops it.
        """,
    )


def _workspace(overrides: tuple[str, ...], port: int, no_browser: bool, env: str | None, conf_source: str) -> None:
    from proml_kedro.workspace.server import open_port, serve
    from proml_kedro.workspace.snapshot import LiveSnapshot

    with open_port(port) as listening:  # first, since it is quick to find out that somebody else has it
        live = LiveSnapshot(ProjectSource(conf_source, overrides, env))
        for notice in live.snapshot.notices:
            click.echo(notice, err=True)

        def say(address: str) -> None:
            click.echo(f"Workspace: {address}  (Ctrl-C stops it)")
            sys.stdout.flush()
            if not no_browser:
                _open_browser(address)

        serve(live, listening, say)


def _open_browser(address: str) -> None:
    """Open the page where there is a screen. Without one, a browser in the terminal might start."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    import webbrowser

    webbrowser.open(address)


class ProjectSource:
    """Source of the page's snapshots: a project's configuration and results.

    Args:
        conf_source: Folder or archive with the configuration.
        overrides: Changes, as they were written.
        env: Kedro environment.

    Raises:
        UserError: There is no configuration.
    """

    def __init__(self, conf_source: str, overrides: tuple[str, ...] = (), env: str | None = None) -> None:
        self._arguments = (conf_source, overrides, env)
        self._project = self._open()

    def _open(self) -> Project:
        from proml_kedro.project import Project

        return Project(*self._arguments)

    def stamp(self) -> str:
        """Digest when each file was written, which results exist, and the hour, since ages are shown."""
        from proml_kedro.digests import fingerprint

        hour = datetime.now(UTC).strftime("%Y-%m-%d %H")
        return fingerprint([hour, *map(_written_at, self._project.files()), *map(_written_at, self._results())])

    def _results(self) -> Iterator[Path]:
        from proml_kedro.health.anomalies.boards import board_files
        from proml_kedro.workspace.results import result_folders

        for folders in result_folders(self._project.places).values():
            yield from folders.values()
        yield from self._project.places.find("feature_tables").values()
        yield from board_files(self._project.data_dir)

    def load(self) -> Snapshot:
        """Make a snapshot of what is there now.

        Raises:
            UserError: The configuration is not sound.
        """
        from proml_kedro.marketplace.build import open_market
        from proml_kedro.workspace.snapshot import Snapshot

        project = self._open()
        market, notices = open_market(project)
        self._project = project

        @cache
        def declared() -> Mapping[str, Mapping[str, Any]]:
            return {one.problem.name: one.written for one in project.problems()[0]}

        def written(problem: str) -> Mapping[str, Any]:
            return declared().get(problem, {})

        return Snapshot.of(market, project.places, project.spec.hardware, written, notices)


def _written_at(file: Path) -> str:
    """Return a file or folder with what it is a link to, and when that was written."""
    try:
        return f"{file} {file.resolve()} {file.stat().st_mtime_ns}"
    except OSError:  # it was removed just now
        return f"{file} gone"
