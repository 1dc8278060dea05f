"""`kedro model describe`: inputs and outputs, and what components say of themselves, before any training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.models.component import Description
    from proml_kedro.models.graph import ModelGraph
    from proml_kedro.models.graph.plan import Step
    from proml_kedro.project import Project


def describe_command() -> click.Command:
    """Make the command `describe`."""
    return Command(
        "describe",
        callback=_describe,
        params=[
            overrides_argument(),
            click.Option(
                ["--categories"],
                type=click.IntRange(1),
                default=1000,
                show_default=True,
                help="How many to assume in each vocabulary, since no data is read.",
            ),
            click.Option(
                ["--image"], type=click.Path(dir_okay=False, path_type=Path), help="Draw it into an SVG file."
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
            *configuration_options(),
        ],
        help="Say what the model reads, and what its networks are made of. Reads no data and trains nothing.",
    )


def _describe(
    overrides: tuple[str, ...], categories: int, image: Path | None, as_json: bool, env: str | None, conf_source: str
) -> None:
    from proml_kedro.models.graph import ModelGraph
    from proml_kedro.project import Project
    from proml_kedro.spec.inputs import input_types

    project = Project(conf_source, overrides, env)
    run = project.spec
    graph = ModelGraph(run.model, input_types(run.problem, run.features), run.problem.label.task)
    described = _descriptions(graph, categories, project)
    if image is not None:
        _draw(image, described)
    components = {step.component: _facts(step) for step in graph.plan.steps}
    if as_json:
        for name, one in described.items():
            components[name] |= one.facts()
        click.echo(json.dumps({"model": run.model.name, "score": run.model.score, "components": components}))
        return
    click.echo(f"model {run.model.name}; its score is {graph.plan.score}")
    for name, facts in components.items():
        click.echo(
            f"\n{name}: {facts['kind']}, reads {len(facts['inputs'])} inputs, gives {', '.join(facts['outputs'])}"
        )
        for line in _as_text(described[name]) if name in described else _inputs(facts["inputs"]):
            click.echo(f"  {line}".rstrip())


def _descriptions(graph: ModelGraph, categories: int, project: Project) -> dict[str, Description]:
    """What components say of themselves before they are fitted, by name; most say nothing.

    Raises:
        UserError: A component cannot be built.
    """
    found = {}
    for name, component in graph.components.items():
        try:
            found[name] = component.describe(categories, f"model.components.{name}")
        except UserError as error:
            error.locate(project.loader.where)
            raise
    return {name: one for name, one in found.items() if one is not None}


def _facts(step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "inputs": {one.name: one.dtype for one in step.reads},
        "outputs": [one.name.removeprefix(f"{step.component}.") for one in step.gives],
    }


def _inputs(inputs: dict[str, str]) -> Iterator[str]:
    for name, dtype in inputs.items():
        yield f"{name} ({dtype})"


def _draw(image: Path, described: dict[str, Description]) -> None:
    """Write the image of the only component that has one, or one image for each.

    Raises:
        UserError: No component has an image, or the file cannot be written.
    """
    where = f"option --image={image}"
    if not described:
        message = "no component of the model can be drawn; those of kind 'deep' can"
        raise UserError(Mistake("", message, where))
    for name, one in described.items():
        file = image if len(described) == 1 else image.with_name(f"{image.stem}-{name}{image.suffix}")
        try:
            file.write_text(one.drawing(name), encoding="utf-8")
        except OSError as error:
            raise UserError(Mistake("", f"cannot write {file}: {error.strerror}", where)) from error
        click.echo(f"drawn into {file}", err=True)


def _as_text(described: Description) -> Iterator[str]:
    from proml_kedro.commands.render import table

    for section in described.sections():
        yield from (section if isinstance(section, str) else table(section)).splitlines() or [""]
