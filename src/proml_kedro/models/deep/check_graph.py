"""Mistakes in the graph of blocks: names, references, circles, widths, and what no head depends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.blocks import Block, ItemWidth, Width
from proml_kedro.models.deep.graph import Graph, Reference, order, resolve, vectors_of
from proml_kedro.models.deep.heads import Head
from proml_kedro.models.deep.layout import GROUPS, Layout
from proml_kedro.spec.order import CircleError

_WOULD_BE = {
    "numbers": "a number that is not bucketed",
    "vectors": "a vector",
    "embeddings": "text, or a bucketed number",
    "categories": "text, or a bucketed number",
}


def check_names(graph: Graph, inputs: Iterable[str]) -> Iterator[Mistake]:
    """Find blocks whose names stand for inputs.

    Args:
        graph: The blocks.
        inputs: Names of inputs and crosses.
    """
    taken = {*GROUPS, *inputs}
    for name in graph:
        if name in taken:
            yield Mistake(f"graph.{name}", "the name stands for inputs; call the block something else")


def check_references(graph: Graph, heads: Mapping[str, Head], layout: Layout) -> Iterator[Mistake]:
    """Find references to nothing, and those that a block or head cannot read.

    That of a sort of inputs may stand for none where another one stands for something: so one declaration fits problems
    with vectors and without.

    Args:
        graph: The blocks.
        heads: The heads by their keys, as ``heads.sale``.
        layout: The inputs.
    """
    for key, references, reads_categories in _readers(graph, heads):
        some = any(not resolve(one, graph, layout).is_nothing for one in references)
        for position, reference in enumerate(references):
            if some and reference in GROUPS and resolve(reference, graph, layout).is_nothing:
                continue
            message = _objection(reference, reads_categories, graph, layout)
            if message:
                yield Mistake(f"{key}.of.{position}", message)


def _readers(graph: Graph, heads: Mapping[str, Head]) -> Iterator[tuple[str, list[str], bool]]:
    """List whatever reads something: its key, its references, and whether it can read ids."""
    for name, block in graph.items():
        yield f"graph.{name}", block.of, block.reads_categories
    for key, head in heads.items():
        yield key, head.of, False


def _objection(reference: str, reads_categories: bool, graph: Graph, layout: Layout) -> str | None:
    if reference == "categories" and not reads_categories:
        return "only a 'linear' block reads categories as such; write 'embeddings'"
    if reference in graph and graph[reference].gives:
        several = ", ".join(vectors_of(reference, graph[reference]))
        return f"'{reference}' gives several vectors; write one of {several}"
    if not resolve(reference, graph, layout).is_nothing:
        return None
    if reference in GROUPS:
        return f"there are no {reference}: no input is {_WOULD_BE[reference]}"
    return unknown("block or input", reference, [*graph, *GROUPS, *layout.names()])


def check_cycle(graph: Graph) -> Iterator[Mistake]:
    """Find blocks that need each other in a circle."""
    try:
        order(graph)
    except CircleError as error:
        yield Mistake("graph", f"blocks {error}")


def check_widths(graph: Graph, layout: Layout) -> Iterator[Mistake]:
    """Find blocks that object to the widths of what they read.

    Args:
        graph: The blocks, without a circle.
        layout: The inputs.
    """
    _, objections = find_widths(graph, layout)
    for name, message in objections.items():
        yield Mistake(f"graph.{name}.of", message)


def find_widths(graph: Graph, layout: Layout) -> tuple[dict[str, Width], dict[str, str]]:
    """Compute the width of every block's vectors.

    Args:
        graph: The blocks, without a circle.
        layout: The inputs.

    Returns:
        Widths by reference, None where only Keras knows, and the objections of blocks to what they read, by name.
    """
    widths: dict[str, Width] = {}
    objections: dict[str, str] = {}
    for name in order(graph):
        block = graph[name]
        parts = [part for one in block.of for part in _parts(resolve(one, graph, layout), block, layout, widths)]
        try:
            width = block.width(parts)
        except ValueError as error:
            width = None
            objections[name] = str(error)
        widths.update(dict.fromkeys(vectors_of(name, block), width))
    return widths, objections


def _parts(reference: Reference, block: Block, layout: Layout, widths: Mapping[str, Width]) -> list[Width]:
    if reference.block is not None:
        return [widths[reference.block]]
    parts: list[Width] = [layout.width_of(len(reference.numbers))] if reference.numbers else []
    parts += [layout.vectors[one].size for one in reference.vectors]
    for one in (layout.categoricals[position] for position in reference.categoricals):
        parts.append(ItemWidth(one.dimension) if block.reads_items and one.pooling else one.dimension)
    return parts


def check_unused(graph: Graph, heads: Mapping[str, Head], layout: Layout) -> Iterator[Mistake]:
    """Find blocks and inputs that no head depends on: nothing would be learned for them.

    Args:
        graph: The blocks.
        heads: The heads by their keys.
        layout: The inputs.
    """
    read = [one for _, references, _ in _readers(graph, heads) for one in references]
    for name, block in graph.items():
        for vector in vectors_of(name, block):
            if vector not in read:
                what = "it" if vector == name else f"'{vector}' of it"
                yield Mistake(f"graph.{name}", f"neither another block nor a head reads {what}")
    unread = _unread_inputs([resolve(one, graph, layout) for one in read], layout)
    if unread:
        yield Mistake("inputs", f"no block reads {', '.join(unread[:3])}{' and others' if len(unread) > 3 else ''}")


def _unread_inputs(read: Sequence[Reference], layout: Layout) -> list[str]:
    """Names of the inputs that no reference and no cross stands for."""
    crossed = {name for one in layout.categoricals for name in one.of}
    numbers, vectors, categoricals = (
        {position for one in read for position in getattr(one, kind)} for kind in ("numbers", "vectors", "categoricals")
    )
    return [
        *(one.name for position, one in enumerate(layout.numbers) if position not in numbers),
        *(one.name for position, one in enumerate(layout.vectors) if position not in vectors),
        *(
            one.name
            for position, one in enumerate(layout.categoricals)
            if position not in categoricals and one.name not in crossed
        ),
    ]
