"""Every mistake of a deep component that can be found without TensorFlow and without data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.blocks.base import Block, ItemWidth, Part
from proml_kedro.models.deep.check_features import check_features
from proml_kedro.models.deep.layout import GROUPS, Layout, Reference, lay_out, resolve, setting
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.spec.dtype import Dtype


def check(spec: DeepSpec, inputs: Mapping[str, Dtype]) -> list[Mistake]:
    """The mistakes, with keys that begin inside of the component.

    Args:
        spec: The component.
        inputs: What it reads, by name.
    """
    mistakes = [*check_features(spec.features, inputs), *_check_names(spec, inputs)]
    if mistakes:
        return mistakes
    layout = lay_out(spec.features, inputs)
    mistakes = list(_check_references(spec, layout)) or list(_check_cycle(spec))
    return mistakes or [*_check_widths(spec, layout), *_check_unused(spec, layout), *_check_exposed(spec, layout)]


def order(spec: DeepSpec) -> list[str]:
    """The blocks, each after those it reads.

    Raises:
        CycleError: They need each other in a circle.
    """
    return list(TopologicalSorter({name: _parents(block, spec) for name, block in spec.graph.items()}).static_order())


def _parents(block: Block, spec: DeepSpec) -> list[str]:
    return [name for one in block.of if (name := one.partition(".")[0]) in spec.graph]


def _readers(spec: DeepSpec) -> Iterator[tuple[str, list[str], bool]]:
    """Key, references, and whether ids can be read, of everything that reads something."""
    for name, block in spec.graph.items():
        yield f"graph.{name}", block.of, block.reads_categories
    for name, head in spec.all_heads().items():
        yield "head" if spec.head else f"heads.{name}", head.of, False


def _check_names(spec: DeepSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    for name in spec.graph:
        if name in (*GROUPS, *inputs, *spec.features.crosses):
            yield Mistake(f"graph.{name}", "the name stands for inputs; call the block something else")


def _check_references(spec: DeepSpec, layout: Layout) -> Iterator[Mistake]:
    known = [*spec.graph, *GROUPS, *layout.names()]
    for key, references, reads_categories in _readers(spec):
        for position, reference in enumerate(references):
            here = f"{key}.of.{position}"
            gives = spec.graph[reference].gives if reference in spec.graph else ()
            if reference == "categories" and not reads_categories:
                yield Mistake(here, "only a 'linear' block reads categories as such; write 'embeddings'")
            elif gives:
                several = ", ".join(f"{reference}.{one}" for one in gives)
                yield Mistake(here, f"'{reference}' gives several vectors; write one of {several}")
            elif resolve(reference, spec, layout).is_nothing:
                if reference in GROUPS:
                    yield Mistake(here, f"there are no {reference}: no input is {_WOULD_BE[reference]}")
                else:
                    yield Mistake(here, unknown("block or input", reference, known))


_WOULD_BE = {
    "numbers": "a number that is not bucketed",
    "vectors": "a vector",
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
        parts = [part for one in block.of for part in _parts(resolve(one, spec, layout), block, layout, widths)]
        try:
            width = block.width(parts)
        except ValueError as error:
            width = None
            yield Mistake(f"graph.{name}.of", str(error))
        widths.update(dict.fromkeys(_vectors_of(name, block), width))


def _vectors_of(name: str, block: Block) -> list[str]:
    """What the vectors of a block are referred to by."""
    return [f"{name}.{one}" for one in block.gives] or [name]


def _parts(reference: Reference, block: Block, layout: Layout, widths: Mapping[str, Part]) -> list[Part]:
    if reference.block is not None:
        return [widths[reference.block]]
    parts: list[Part] = [layout.width_of(len(reference.numbers))] if reference.numbers else []
    parts += [layout.vectors[one].size for one in reference.vectors]
    for one in (layout.categoricals[position] for position in reference.categoricals):
        parts.append(ItemWidth(one.dimension) if block.reads_items and one.pooling else one.dimension)
    return parts


def _check_unused(spec: DeepSpec, layout: Layout) -> Iterator[Mistake]:
    """Blocks and inputs that no head depends on: nothing would be learned for them."""
    read = [one for _, references, _ in _readers(spec) for one in references]
    for name, block in spec.graph.items():
        for vector in _vectors_of(name, block):
            if vector not in read:
                yield Mistake(f"graph.{name}", f"neither another block nor a head reads {_quoted(vector, name)}it")
    found = [resolve(one, spec, layout) for one in read]
    crossed = {name for one in layout.categoricals for name in one.of}
    left = _unread(layout.numbers, [one.numbers for one in found])
    left += _unread(layout.vectors, [one.vectors for one in found])
    left += [one for one in _unread(layout.categoricals, [one.categoricals for one in found]) if one not in crossed]
    if left:
        yield Mistake("inputs", f"no block reads {', '.join(left[:3])}{' and others' if len(left) > 3 else ''}")


def _quoted(vector: str, name: str) -> str:
    return "" if vector == name else f"'{vector}' of "


def _unread(inputs: Sequence[object], read: Sequence[tuple[int, ...]]) -> list[str]:
    positions = {position for one in read for position in one}
    return [str(getattr(one, "name", one)) for position, one in enumerate(inputs) if position not in positions]


def exposed_names(spec: DeepSpec) -> tuple[str, ...]:
    """What the exposed outputs are called; one for each number of a vector."""
    names: list[str] = []
    for name, reference in spec.expose.items():
        width = exposed_width(spec, reference)
        names += [name] if width in (None, 1) else [f"{name}_{number}" for number in range(width or 0)]
    return tuple(names)


def exposed_width(spec: DeepSpec, reference: str) -> int | None:
    """How many numbers an exposed block or input has; None when the declaration alone does not say.

    The width must be known before the inputs are, since other components name their inputs by it. A block's width does
    not depend on its inputs if it is the same for two very different ones.
    """
    if reference.partition(".")[0] not in spec.graph:
        width: int = setting(spec.features.embed, reference, 16)
        return width
    try:
        first, second = (_assumed_widths(spec, width, count) for width, count in ((3, 2), (5, 4)))
    except CycleError:
        return None
    return first.get(reference) if first.get(reference) == second.get(reference) else None


def _assumed_widths(spec: DeepSpec, width: int, count: int) -> dict[str, Part]:
    """The width of every block, were every input so wide, and every pattern so many inputs."""
    widths: dict[str, Part] = {}
    for name in order(spec):
        block = spec.graph[name]
        parts: list[Part] = []
        for one in block.of:
            inputs = [width] * (count if one in GROUPS or "*" in one else 1)
            parts += [widths[one]] if one in widths else inputs
        try:
            found = block.width(parts)
        except ValueError:
            found = None
        widths.update(dict.fromkeys(_vectors_of(name, block), found))
    return widths


def _check_exposed(spec: DeepSpec, layout: Layout) -> Iterator[Mistake]:
    taken = [output for head in spec.all_heads() for output in spec.outputs_of(head)]
    for name, reference in spec.expose.items():
        here, found = f"expose.{name}", resolve(reference, spec, layout)
        if found.is_nothing:
            known = [*spec.graph, *(one.name for one in layout.categoricals)]
            yield Mistake(here, unknown("block or embedded input", reference, known))
        elif found.block is None and (found.numbers or found.vectors or len(found.categoricals) > 1):
            yield Mistake(here, "only a block, or the embedding of one input, can be exposed")
        elif exposed_width(spec, reference) is None:
            message = "its width depends on the inputs and cannot be told from the graph; let an mlp block make it"
            yield Mistake(here, message)
    for name in sorted({one for one in exposed_names(spec) if one in taken}):
        yield Mistake("expose", f"a head has an output '{name}' too; call it something else")
