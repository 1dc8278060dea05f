"""A described network in words, as JSON and as an image, for ``kedro model describe``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from proml_kedro.hardware import in_words
from proml_kedro.models.deep.describe import NetworkFacts
from proml_kedro.models.deep.diagram import as_svg, as_tree


@dataclass(frozen=True)
class NetworkDescription:
    """Answer of a component of kind ``deep`` to ``kedro model describe``.

    Attributes:
        network: Its network.
    """

    network: NetworkFacts

    def facts(self) -> dict[str, Any]:
        """Return the network as plain values for JSON, under ``network``."""
        return {"network": asdict(self.network)}

    def drawing(self, name: str) -> str:
        """Draw the network as an SVG image."""
        return as_svg(name, self.network)

    def sections(self) -> Iterator[str | Sequence[Sequence[str]]]:
        """Yield the inputs as a table, the blocks as a tree, and the sizes of weights and memory."""
        network = self.network
        rows = [("input", "enters as", "shape", "ids", "table")]
        for one in network.inputs:
            shape = " x ".join(map(str, one.shape))
            table_name = one.table if one.table not in (None, one.name) else ""
            ids = f"{one.ids:,}" if one.ids is not None else ""
            rows.append((one.name, one.enters, shape, ids, table_name or ""))
        yield rows
        yield ""
        yield as_tree(network)
        yield ""
        yield f"weights: {network.weights:,}, of which {network.embedding_weights:,} in embedding tables"
        yield (
            f"memory to train: {in_words(network.bytes_of_weights)} for weights and their gradients, about "
            f"{in_words(network.bytes_of_batch)} for a batch, {network.bytes_of_row:,} bytes for each example"
        )
        if any(one.table for one in network.inputs):
            yield f"assumed: {network.categories:,} categories in each vocabulary; the training data decide"
