"""The project's commands: Kedro's own, with Hydra's overrides as arguments."""

from __future__ import annotations

from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS

OVERRIDES = "overrides"


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from proml_kedro.config.completion import complete

    return complete(incomplete, ctx.params.get(OVERRIDES) or ())


def _overrides() -> click.Argument:
    return click.Argument(
        [OVERRIDES], nargs=-1, type=click.UNPROCESSED, shell_complete=_complete, metavar="[KEY=VALUE]..."
    )


@click.group(context_settings=CONTEXT_SETTINGS, name="proml_kedro")
def cli() -> None:
    """Commands of proml_kedro."""


def _run(overrides: tuple[str, ...], params: dict[str, Any], **options: Any) -> Any:
    if overrides:
        params = {**params, OVERRIDES: list(overrides)}
    return kedro_run.callback(params=params, **options)


run = click.Command(
    "run",
    callback=_run,
    params=[_overrides(), *kedro_run.params],
    help="""Run the pipelines, with the configuration changed by each KEY=VALUE.

    \b
      model=logistic                               another file of a group
      model.components.trees.params.max_depth=4    another value
      +monitoring.gate.columns.price=0.2           a key that is not written yet
      +experiment=quick                            an overlay

    Results of earlier runs are taken over where nothing that they depend on has changed.
    """,
)
cli.add_command(run)


@cli.group()
def config() -> None:
    """Look at the configuration."""


@click.pass_obj
def _show(
    metadata: Any, overrides: tuple[str, ...], resolved: bool, origin: bool, env: str | None, conf_source: str | None
) -> None:
    from kedro.framework.project import settings

    from proml_kedro.config import HydraConfigLoader
    from proml_kedro.config.show import as_yaml, with_origins

    source = conf_source or str(metadata.project_path / settings.CONF_SOURCE)
    loader = HydraConfigLoader(source, env, {OVERRIDES: list(overrides)})
    click.echo((with_origins if origin else as_yaml)(loader, resolved), nl=False)


config.add_command(
    click.Command(
        "show",
        callback=_show,
        params=[
            _overrides(),
            click.Option(["--resolved"], is_flag=True, help="Fill in the defaults of what nobody wrote."),
            click.Option(["--origin"], is_flag=True, help="Print where each value was written."),
            click.Option(["--env", "-e"], help="Kedro environment: an option of the group env."),
            click.Option(["--conf-source"], help="Folder or archive of configuration."),
        ],
        help="Print what the configuration is composed to, changed by each KEY=VALUE.",
    )
)
