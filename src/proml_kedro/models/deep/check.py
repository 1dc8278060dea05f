"""Every mistake of a deep component that can be found without TensorFlow and without data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.blocks.base import Part
from proml_kedro.models.deep.layout import GROUPS, Layout, Reference, check_features, lay_out, resolve
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.spec.dtype import Dtype


def check(spec: DeepSpec, inputs: Mapping[str, Dtype]) -> list[Mistake]:
    """The mistakes, with keys that begin inside of the component.

    Args:
        spec: The component.
        inputs: What it reads, by name.
    """
    mistakes = [*check_features(spec.features, inputs), *_check_names(spec)]
    if mistakes:
        return mistakes
    layout = lay_out(spec.features, inputs)
    mistakes = list(_check_references(spec, layout)) or list(_check_cycle(spec))
    return mistakes or [*_check_widths(spec, layout), *_check_unused(spec, layout)]


def order(spec: DeepSpec) -> list[str]:
    """The blocks, each after those it reads.

    Raises:
        CycleError: They need each other in a circle.
    """
    parents = {name: [one for one in block.of if one in spec.graph] for name, block in spec.graph.items()}
    return list(TopologicalSorter(parents).static_order())


def _readers(spec: DeepSpec) -> Iterator[tuple[str, list[str], bool]]:
    """Key, references, and whether ids can be read, of everything that reads something."""
    for name, block in spec.graph.items():
        yield f"graph.{name}", block.of, block.reads_categories
    yield "head", spec.head.of, False


def _check_names(spec: DeepSpec) -> Iterator[Mistake]:
    for name in spec.graph:
        if name in GROUPS:
            yield Mistake(f"graph.{name}", "the name stands for inputs; call the block something else")


def _check_references(spec: DeepSpec, layout: Layout) -> Iterator[Mistake]:
    known = [*spec.graph, *GROUPS, *(one.name for one in layout.numbers), *(one.name for one in layout.categoricals)]
    for key, references, reads_categories in _readers(spec):
        for position, reference in enumerate(references):
            here = f"{key}.of.{position}"
            found = resolve(reference, spec, layout)
            if reference == "categories" and not reads_categories:
                yield Mistake(here, "only a 'linear' block reads categories as such; write 'embeddings'")
            elif found.block is None and not found.numbers and not found.categoricals:
                if reference in GROUPS:
                    yield Mistake(here, f"there are no {reference}: no input is {_WOULD_BE[reference]}")
                else:
                    yield Mistake(here, unknown("block or input", reference, known))


_WOULD_BE = {
    "numbers": "a number that is not bucketed",
    "embeddings": "text, or a bucketed number",
    "categories": "text, or a bucketed number",
}


def _check_cycle(spec: DeepSpec) -> Iterator[Mistake]:
    try:
        order(spec)
    except CycleError as error:
        yield Mistake("graph", f"blocks need each other in a circle: {' -> '.join(error.args[1][::-1])}")


def _check_widths(spec: DeepSpec, layout: Layout) -> Iterator[Mistake]:
    """What blocks object to in the widths of what they read; None is the width of a block that cannot be told."""
    widths: dict[str, Part] = {}
    for name in order(spec):
        block = spec.graph[name]
        parts = [part for one in block.of for part in _parts(resolve(one, spec, layout), layout, widths)]
        try:
            widths[name] = block.width(parts)
        except ValueError as error:
            widths[name] = None
            yield Mistake(f"graph.{name}.of", str(error))


def _parts(reference: Reference, layout: Layout, widths: Mapping[str, Part]) -> list[Part]:
    if reference.block is not None:
        return [widths[reference.block]]
    numbers: list[Part] = [layout.width_of(len(reference.numbers))] if reference.numbers else []
    return [*numbers, *(layout.categoricals[one].dimension for one in reference.categoricals)]


def _check_unused(spec: DeepSpec, layout: Layout) -> Iterator[Mistake]:
    """Blocks and inputs that the margin does not depend on: nothing would be learned for them."""
    read = [one for _, references, _ in _readers(spec) for one in references]
    for name in spec.graph:
        if name not in read:
            yield Mistake(f"graph.{name}", "neither another block nor the head reads it")
    found = [resolve(one, spec, layout) for one in read]
    numbers = {position for one in found for position in one.numbers}
    categoricals = {position for one in found for position in one.categoricals}
    left = [one.name for position, one in enumerate(layout.numbers) if position not in numbers]
    left += [one.name for position, one in enumerate(layout.categoricals) if position not in categoricals]
    if left:
        yield Mistake("inputs", f"no block reads {', '.join(left[:3])}{' and others' if len(left) > 3 else ''}")
