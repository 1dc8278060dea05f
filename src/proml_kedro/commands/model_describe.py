"""`kedro model describe`: inputs, shapes, weights and a drawing of the configured model, before any training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.models.component import Component
    from proml_kedro.models.deep.describe import Description

_UNITS = ((2**30, "GB"), (2**20, "MB"), (2**10, "kB"))


def describe_command(
    command: type[click.Command], overrides: Callable[[], click.Argument], conf_of_project: Callable[[], str]
) -> click.Command:
    """The command; the arguments are those of :func:`proml_kedro.commands.features.make_group`."""
    return command(
        "describe",
        callback=_describe,
        params=[
            overrides(),
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
            click.Option(["--env", "-e"], help="Kedro environment: a file of conf/env."),
            click.Option(["--conf-source"], default=conf_of_project, help="Folder or archive with the configuration."),
        ],
        help="Say what the model reads, and what its networks are made of. Reads no data and trains nothing.",
    )


def _describe(
    overrides: tuple[str, ...], categories: int, image: Path | None, as_json: bool, env: str | None, conf_source: str
) -> None:
    from proml_kedro.models.graph.graph import ModelGraph
    from proml_kedro.project import Project
    from proml_kedro.spec.inputs import input_types

    project = Project(conf_source, overrides, env)
    run = project.spec
    graph = ModelGraph(run.model, input_types(run.problem, run.features), run.problem.label.task)
    networks = {
        name: _network(component, categories, f"model.components.{name}", project)
        for name, component in graph.components.items()
        if component.spec.kind == "deep"
    }
    if image is not None:
        _draw(image, networks)
    if as_json:
        components = {name: _facts(component, run.problem.label.task) for name, component in graph.components.items()}
        for name, network in networks.items():
            components[name]["network"] = asdict(network)
        click.echo(json.dumps({"model": run.model.name, "score": run.model.score, "components": components}))
        return
    click.echo(f"model {run.model.name}; its score is {run.model.score}.{graph.score_output}")
    for name, component in graph.components.items():
        facts = _facts(component, run.problem.label.task)
        click.echo(
            f"\n{name}: {facts['kind']}, reads {len(facts['inputs'])} inputs, gives {', '.join(facts['outputs'])}"
        )
        for line in _as_text(networks[name]) if name in networks else _inputs(facts["inputs"]):
            click.echo(f"  {line}".rstrip())


def _network(component: Component, categories: int, key: str, project: Any) -> Description:
    from proml_kedro.models.deep.describe import describe
    from proml_kedro.models.deep.devices import limit_tensorflow
    from proml_kedro.models.deep.spec import DeepSpec

    limit_tensorflow(1)
    assert isinstance(component.spec, DeepSpec)  # noqa: S101 - its kind says so
    try:
        return describe(component.spec, component.inputs, categories, key)
    except UserError as error:
        error.locate(project.loader.where)
        raise UserError(*error.mistakes) from error


def _facts(component: Component, task: Any) -> dict[str, Any]:
    return {
        "kind": component.spec.kind,
        "inputs": {one.name: one.dtype for one in component.inputs},
        "outputs": list(component.spec.outputs(task)),
    }


def _inputs(inputs: dict[str, str]) -> Iterator[str]:
    for name, dtype in inputs.items():
        yield f"{name} ({dtype})"


def _draw(image: Path, networks: dict[str, Description]) -> None:
    """Write the image of the only network, or one for each.

    Raises:
        UserError: There is no network, or the file cannot be written.
    """
    from proml_kedro.models.deep.diagram import as_svg

    where = f"option --image={image}"
    if not networks:
        raise UserError(Mistake("", "the model has no component of kind 'deep' to draw", where))
    for name, network in networks.items():
        file = image if len(networks) == 1 else image.with_name(f"{image.stem}-{name}{image.suffix}")
        try:
            file.write_text(as_svg(name, network), encoding="utf-8")
        except OSError as error:
            raise UserError(Mistake("", f"cannot write {file}: {error.strerror}", where)) from error
        click.echo(f"drawn into {file}", err=True)


def _as_text(network: Description) -> Iterator[str]:
    from proml_kedro.commands.render import table
    from proml_kedro.models.deep.diagram import as_tree

    rows = [("input", "enters as", "shape", "ids", "table")]
    for one in network.inputs:
        shape = " x ".join(map(str, one.shape))
        table_name = one.table if one.table not in (None, one.name) else ""
        rows.append((one.name, one.enters, shape, f"{one.ids:,}" if one.ids is not None else "", table_name or ""))
    yield from table(rows).splitlines()
    yield ""
    yield from as_tree(network).splitlines()
    yield ""
    yield f"weights: {network.weights:,}, of which {network.embedding_weights:,} in embedding tables"
    yield (
        f"memory to train: {_bytes(network.bytes_of_weights)} for weights and their gradients, about "
        f"{_bytes(network.bytes_of_batch)} for a batch, {network.bytes_of_row:,} bytes for each example"
    )
    if any(one.table for one in network.inputs):
        yield f"assumed: {network.categories:,} categories in each vocabulary; the training data decide"


def _bytes(count: int) -> str:
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
