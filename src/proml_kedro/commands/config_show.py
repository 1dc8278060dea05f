"""`kedro config show`: the configuration that a run would use."""

from __future__ import annotations

import os

import click

from proml_kedro.commands.base import OVERRIDES, Command, configuration_options, overrides_argument


def show_command() -> click.Command:
    """Make the command `show`."""
    return Command(
        "show",
        callback=_show,
        params=[
            overrides_argument(),
            click.Option(["--resolved"], is_flag=True, help="Resolve ${…}, and fill in what nobody wrote."),
            click.Option(["--origin"], is_flag=True, help="Print behind each value where it was written."),
            *configuration_options(),
        ],
        help="Print the configuration that a run with the same KEY=VALUE would use.",
    )


def _show(overrides: tuple[str, ...], resolved: bool, origin: bool, env: str | None, conf_source: str) -> None:
    from proml_kedro.config import HydraConfigLoader
    from proml_kedro.config.show import as_yaml, with_origins

    loader = HydraConfigLoader(conf_source, env or os.getenv("KEDRO_ENV"), {OVERRIDES: list(overrides)})
    show = with_origins if origin else as_yaml
    click.echo(show(loader.loaded, resolved), nl=False)
