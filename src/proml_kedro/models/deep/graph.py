"""The graph of blocks: what a reference stands for, and an order in which each block comes after those it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from proml_kedro.models.deep.blocks import Block
from proml_kedro.models.deep.layout import CategoricalInput, Layout, NumberInput, VectorInput
from proml_kedro.spec.order import in_order

Graph = Mapping[str, Block]
"""Blocks by name, in any order."""


@dataclass(frozen=True)
class Reference:
    """One entry of ``of``, resolved to a block or to inputs.

    Attributes:
        block: Name of the block's vector; None for inputs.
        numbers: Positions in :attr:`Layout.numbers`.
        vectors: Positions in :attr:`Layout.vectors`.
        categoricals: Positions in :attr:`Layout.categoricals`.
        as_ids: Whether a block that reads categories is given the ids: true of everything but ``embeddings``.
    """

    block: str | None = None
    numbers: tuple[int, ...] = ()
    vectors: tuple[int, ...] = ()
    categoricals: tuple[int, ...] = ()
    as_ids: bool = True

    @property
    def is_nothing(self) -> bool:
        """Tell whether neither a block nor an input has this name."""
        return self.block is None and not (self.numbers or self.vectors or self.categoricals)


def resolve(reference: str, graph: Graph, layout: Layout) -> Reference:
    """Find what a reference stands for; :attr:`Reference.is_nothing` when there is no such thing.

    Args:
        reference: An entry of ``of``.
        graph: Blocks that it may name.
        layout: Inputs that it may name.
    """
    if is_of_block(reference, graph):
        return Reference(block=reference)
    if reference == "numbers":
        return Reference(numbers=tuple(range(len(layout.numbers))))
    if reference == "vectors":
        return Reference(vectors=tuple(range(len(layout.vectors))))
    if reference in ("embeddings", "categories"):
        return Reference(categoricals=tuple(range(len(layout.categoricals))), as_ids=reference == "categories")
    return Reference(
        numbers=_named(layout.numbers, reference),
        vectors=_named(layout.vectors, reference),
        categoricals=_named(layout.categoricals, reference),
    )


def is_of_block(reference: str, graph: Graph) -> bool:
    """Tell whether a reference names a block's vector: ``weather.temp`` is an input also beside a block ``weather``."""
    block, _, part = reference.partition(".")
    return block in graph and part in (graph[block].gives or ("",))


def _named(inputs: Sequence[NumberInput | VectorInput | CategoricalInput], pattern: str) -> tuple[int, ...]:
    return tuple(position for position, one in enumerate(inputs) if fnmatchcase(one.name, pattern))


def order(graph: Graph) -> list[str]:
    """Sort the blocks so that each comes after those it reads.

    Raises:
        CircleError: They need each other in a circle.
    """
    return in_order({name: _parents(block, graph) for name, block in graph.items()})


def _parents(block: Block, graph: Graph) -> list[str]:
    return [block_of(one) for one in block.of if is_of_block(one, graph)]


def block_of(reference: str) -> str:
    """Return the block that a reference names, if it names one.

    >>> block_of("experts.click"), block_of("deep")
    ('experts', 'deep')
    """
    return reference.partition(".")[0]


def vectors_of(name: str, block: Block) -> list[str]:
    """List the references to the vectors of a block: its own name, or ``block.vector`` for each."""
    return [f"{name}.{one}" for one in block.gives] or [name]
