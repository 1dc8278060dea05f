"""Facts of a declared network before training and without data: inputs, shapes, weights and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proml_kedro.models.component import Input
from proml_kedro.models.deep.build import build
from proml_kedro.models.deep.graph import order, resolve, vectors_of
from proml_kedro.models.deep.layout import CategoricalInput, Layout, lay_out
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import Statistics, assume

_FLOAT = 4  # bytes
_COPIES = 4  # of each weight while it is trained: itself, its gradient, and two moments of Adam


@dataclass(frozen=True)
class InputLine:
    """One input of a network.

    Attributes:
        name: Of the input.
        enters: In which form it enters, in words.
        shape: Shape of one example's tensor.
        ids: Number of different ids; None for numbers.
        table: Name of the embedding table; None for numbers.
    """

    name: str
    enters: str
    shape: tuple[int, ...]
    ids: int | None = None
    table: str | None = None


@dataclass(frozen=True)
class Node:
    """A block or a head of a network.

    Attributes:
        name: Of the block or the head.
        what: Kind of block, or loss.
        reads: References as in YAML.
        width: Numbers that it gives for an example; of each vector, when it gives several.
        weights: Number of weights of its own.
        is_head: Whether it is a head.
    """

    name: str
    what: str
    reads: tuple[str, ...]
    width: int
    weights: int
    is_head: bool = False


@dataclass(frozen=True)
class NetworkFacts:
    """A network before it is trained.

    Attributes:
        categories: Number of categories assumed in each vocabulary.
        inputs: In the order in which they are packed.
        groups: What references to inputs stand for, in words.
        nodes: Blocks, each after those it reads, then heads.
        outputs: Names of the outputs.
        embedding_weights: Number of weights of embedding tables.
        weights: Number of all weights.
        bytes_of_weights: Memory of the weights while they are trained.
        bytes_of_batch: Memory of the tensors of one batch, about.
        bytes_of_row: Memory of one packed example.
    """

    categories: int
    inputs: tuple[InputLine, ...]
    groups: Mapping[str, str]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    embedding_weights: int
    weights: int
    bytes_of_weights: int
    bytes_of_batch: int
    bytes_of_row: int


def describe(spec: DeepSpec, inputs: Sequence[Input], categories: int, key: str) -> NetworkFacts:
    """Build a network without training it, and describe it.

    Args:
        spec: The component, without mistakes.
        inputs: What it reads.
        categories: Number of categories to assume in each vocabulary, since no data is read.
        key: Of the component, for errors.

    Raises:
        UserError: Keras refuses a layer or its arguments.
    """
    layout = lay_out(spec.features, {one.name: one.dtype for one in inputs})
    statistics = assume(layout, categories)
    starts = {name: [0.0] * head.units for name, head in spec.all_heads().items()}
    network = build(spec, layout, statistics, starts, key)
    model = network.model
    tables = [layer for layer in model.layers if layer.name.startswith("embeddings")]
    embedding_weights = sum(layer.count_params() for layer in tables)
    row = _FLOAT * (layout.width + layout.id_count + len(starts) + 1) + 8
    return NetworkFacts(
        categories,
        tuple(_inputs(layout, statistics)),
        _groups(spec, layout),
        tuple(_nodes(spec, model, network.tensors)),
        spec.output_names("binary"),
        embedding_weights,
        model.count_params(),
        _COPIES * _FLOAT * model.count_params(),
        _bytes_of_batch(model, spec.training.batch_size),
        row,
    )


def _inputs(layout: Layout, statistics: Statistics) -> Iterator[InputLine]:
    for number in layout.numbers:
        yield InputLine(number.name, f"number, {number.scaling}", (2 if layout.indicators else 1,))
    for vector in layout.vectors:
        yield InputLine(vector.name, "vector", (vector.size,))
    for one in layout.categoricals:
        shape = (one.length, one.dimension) if one.pooling else (one.dimension,)
        yield InputLine(one.name, _form(one), shape, statistics.size_of(one), one.table)


def _form(one: CategoricalInput) -> str:
    if one.form == "text":
        return f"{one.length} words, {one.pooling}"
    if one.form == "sequence":
        return f"{one.length} items, {one.pooling}"
    if one.form == "cross":
        return f"cross of {' and '.join(one.of)}"
    return "buckets" if one.form == "buckets" else "category" + (", hashed" if one.bins else "")


def _groups(spec: DeepSpec, layout: Layout) -> dict[str, str]:
    """Say in words what each reference to inputs stands for."""
    read = [one for block in spec.graph.values() for one in block.of]
    read += [one for head in spec.all_heads().values() for one in head.of]
    found = {}
    for reference in dict.fromkeys(read):
        meant = resolve(reference, spec.graph, layout)
        if meant.block is None:
            counts = (
                (len(meant.numbers), "number"),
                (len(meant.vectors), "vector"),
                (len(meant.categoricals), "category"),
            )
            found[reference] = ", ".join(_counted(count, word) for count, word in counts if count)
    return found


def _counted(count: int, word: str) -> str:
    several = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{count} {word if count == 1 else several}"


def _nodes(spec: DeepSpec, model: Any, tensors: Mapping[str, Any]) -> Iterator[Node]:
    """List blocks and heads; the weights of each are those that nothing before it needs."""
    import keras

    seen = {id(one) for layer in model.layers if layer.name.startswith("embeddings") for one in layer.weights}

    def own(outputs: Any) -> int:
        new = [one for one in keras.Model(model.inputs, outputs).weights if id(one) not in seen]
        seen.update(id(one) for one in new)
        return sum(_size(one) for one in new)

    for name in order(spec.graph):
        block = spec.graph[name]
        made = [tensors[one] for one in vectors_of(name, block)]
        what = getattr(block, "layer", block.block)
        yield Node(name, what, tuple(block.of), made[0].shape[-1], own(made))
    for (name, head), margins in zip(spec.all_heads().items(), model.outputs, strict=False):
        yield Node(name, head.loss, tuple(head.of), margins.shape[-1], own([margins]), is_head=True)


def _size(weight: Any) -> int:
    import numpy as np

    return int(np.prod(weight.shape))


def _bytes_of_batch(model: Any, rows: int) -> int:
    """Estimate the memory of the outputs of every layer, kept for the gradients, and of the gradients."""
    import numpy as np

    numbers = 0
    for layer in model.layers:
        outputs = layer.output if isinstance(layer.output, list | tuple) else [layer.output]
        numbers += sum(int(np.prod([size or 1 for size in one.shape[1:]])) for one in outputs)
    return 2 * _FLOAT * rows * numbers
