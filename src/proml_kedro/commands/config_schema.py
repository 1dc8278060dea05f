"""`kedro config schema`: write the JSON Schema that editors complete and check YAML by."""

from __future__ import annotations

from pathlib import Path

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument

_HELP = """Write the JSON Schema of all YAML into the folder schema beside conf.

    Projects that `new` and `init` make have it; write it anew after an update, and where `extensions` brings kinds of
    components, readers and the like of your own. A file of conf names it in its first line:
    # yaml-language-server: $schema=../../schema/problem.json
    """


def schema_command() -> click.Command:
    """Make the command `schema`."""
    return Command("schema", callback=_schema, params=[overrides_argument(), *configuration_options()], help=_HELP)


def _schema(overrides: tuple[str, ...], env: str | None, conf_source: str) -> None:
    from proml_kedro.authoring.schema import write_schemas
    from proml_kedro.project import Project

    project = Project(conf_source, overrides, env)
    names = project.spec.extensions  # what they register is in the schema once they are imported
    folder = project.base_path / "schema"
    write_schemas(folder)
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    more = f", with what {', '.join(names)} registers" if names else ""
    click.echo(f"wrote {shown}{more}")
