"""Exposed blocks and embeddings: their widths, found without the inputs, the names of their outputs, and mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.blocks import Width
from proml_kedro.models.deep.features_spec import DeepFeaturesSpec
from proml_kedro.models.deep.graph import Graph, is_of_block, order, resolve, vectors_of
from proml_kedro.models.deep.layout import GROUPS, Layout, setting
from proml_kedro.spec.order import CircleError


@dataclass(frozen=True)
class Exposure:
    """Further outputs of a component.

    Their widths must be known before the inputs are, since other components name their inputs by them.

    Attributes:
        expose: References to a block's vector or an input's embedding, by the name of the output.
        graph: The blocks.
        features: Says how wide embeddings are.
    """

    expose: Mapping[str, str]
    graph: Graph
    features: DeepFeaturesSpec

    def names(self) -> tuple[str, ...]:
        """List the outputs; a vector gives one for each of its numbers: ``NAME_0``, ``NAME_1`` and so on."""
        names: list[str] = []
        for name, reference in self.expose.items():
            width = self.width(reference)
            names += [name] if width in (None, 1) else [f"{name}_{number}" for number in range(width or 0)]
        return tuple(names)

    def width(self, reference: str) -> int | None:
        """Count the numbers of a block's vector or an embedding; None when the declaration alone does not say.

        A block's width does not depend on its inputs if it is the same for two very different ones.
        """
        if not is_of_block(reference, self.graph):
            width: int = setting(self.features.embed, reference, 16)
            return width
        try:
            first, second = (_assumed_widths(self.graph, width, count) for width, count in ((3, 2), (5, 4)))
        except CircleError:
            return None
        return first.get(reference) if first.get(reference) == second.get(reference) else None

    def check(self, layout: Layout, taken: Sequence[str]) -> Iterator[Mistake]:
        """Find references that cannot be exposed, and names that are taken.

        Args:
            layout: The inputs.
            taken: Names of the heads' outputs.
        """
        for name, reference in self.expose.items():
            message = self._objection(reference, layout)
            if message:
                yield Mistake(f"expose.{name}", message)
        for name in sorted({one for one in self.names() if one in taken}):
            yield Mistake("expose", f"a head has an output '{name}' too; call it something else")

    def _objection(self, reference: str, layout: Layout) -> str | None:
        found = resolve(reference, self.graph, layout)
        if found.is_nothing:
            known = [*self.graph, *(one.name for one in layout.categoricals)]
            return unknown("block or embedded input", reference, known)
        if found.block is None and (found.numbers or found.vectors or len(found.categoricals) > 1):
            return "only a block, or the embedding of one input, can be exposed"
        if self.width(reference) is None:
            return "its width depends on the inputs and cannot be told from the graph; let an mlp block make it"
        return None


def _assumed_widths(graph: Graph, width: int, count: int) -> dict[str, Width]:
    """Compute the width of every block as if each input had this width and each pattern stood for so many inputs."""
    widths: dict[str, Width] = {}
    for name in order(graph):
        block = graph[name]
        parts: list[Width] = []
        for one in block.of:
            inputs = [width] * (count if one in GROUPS or "*" in one else 1)
            parts += [widths[one]] if one in widths else inputs
        try:
            found = block.width(parts)
        except ValueError:
            found = None
        widths.update(dict.fromkeys(vectors_of(name, block), found))
    return widths
