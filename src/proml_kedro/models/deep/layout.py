"""Which inputs are numbers, which are embedded and how, and what a reference of a block stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from proml_kedro.models.deep.features import DeepFeaturesSpec, Numeric, Pooling
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.spec.dtype import Dtype, vector_size

GROUPS = ("numbers", "vectors", "embeddings", "categories")

Form = Literal["category", "buckets", "text", "sequence", "cross"]


@dataclass(frozen=True)
class Number:
    """A number that enters as such.

    Attributes:
        name: Of the input.
        scaling: As :class:`DeepFeaturesSpec` has it.
    """

    name: str
    scaling: Numeric


@dataclass(frozen=True)
class Vector:
    """A vector that enters as such.

    Attributes:
        name: Of the input.
        size: How many numbers it has.
    """

    name: str
    size: int


@dataclass(frozen=True)
class Categorical:
    """What enters as ids.

    Attributes:
        name: Of the input, or of the cross.
        form: What sort of thing the ids stand for.
        table: The embedding table, and vocabulary, that it uses; its own is called as it is.
        dimension: Of its embedding.
        min_count: Rarer categories are unknown.
        most: How many categories are known at most; None for all.
        bins: How many ids hashes are spread over; None where there is a vocabulary.
        buckets: How many buckets a number is cut into.
        of: The inputs of a cross.
        length: How many ids there are: more than one for words and items.
        pooling: How their vectors become one.
        separator: Between two items; None for words.
        last: Whether the last items are kept rather than the first ones.
    """

    name: str
    form: Form
    table: str
    dimension: int
    min_count: int = 1
    most: int | None = None
    bins: int | None = None
    buckets: int | None = None
    of: tuple[str, ...] = ()
    length: int = 1
    pooling: Pooling | None = None
    separator: str | None = None
    last: bool = False

    @property
    def has_vocabulary(self) -> bool:
        """Whether its ids come from categories seen in training."""
        return self.form != "buckets" and self.bins is None


@dataclass(frozen=True)
class Layout:
    """The inputs of a network in the order of its matrices.

    The matrix of numbers holds the numbers, then the vectors, then an indicator for each number where there are any.
    The matrix of ids holds a column for each id of each categorical.

    Attributes:
        numbers: Numbers.
        vectors: Vectors.
        indicators: Whether there are indicators.
        categoricals: Whatever has ids.
    """

    numbers: tuple[Number, ...]
    vectors: tuple[Vector, ...]
    indicators: bool
    categoricals: tuple[Categorical, ...]

    def names(self) -> list[str]:
        """What all of them are called."""
        numbers, vectors = [one.name for one in self.numbers], [one.name for one in self.vectors]
        return [*numbers, *vectors, *(one.name for one in self.categoricals)]

    def width_of(self, numbers: int) -> int:
        """Columns that so many numbers take."""
        return numbers * (2 if self.indicators else 1)

    @property
    def width(self) -> int:
        """Columns of the matrix of numbers."""
        return self.width_of(len(self.numbers)) + sum(one.size for one in self.vectors)

    def columns_of_numbers(self, positions: Sequence[int]) -> list[int]:
        """The columns of these numbers, and of their indicators."""
        first = self.width - len(self.numbers)
        return [*positions, *(first + one for one in positions)] if self.indicators else list(positions)

    def columns_of_vector(self, position: int) -> list[int]:
        """The columns of a vector."""
        start = len(self.numbers) + sum(one.size for one in self.vectors[:position])
        return list(range(start, start + self.vectors[position].size))

    @property
    def id_count(self) -> int:
        """Columns of the matrix of ids."""
        return sum(one.length for one in self.categoricals)

    def columns_of_ids(self, position: int) -> list[int]:
        """The columns of a categorical."""
        start = sum(one.length for one in self.categoricals[:position])
        return list(range(start, start + self.categoricals[position].length))


@dataclass(frozen=True)
class Reference:
    """What one entry of ``of`` stands for: a block, or inputs.

    Attributes:
        block: Name of the block's vector; None for inputs.
        numbers: Positions in :attr:`Layout.numbers`.
        vectors: Positions in :attr:`Layout.vectors`.
        categoricals: Positions in :attr:`Layout.categoricals`.
        as_ids: Whether a block that reads categories is given the ids: always, but for ``embeddings``.
    """

    block: str | None = None
    numbers: tuple[int, ...] = ()
    vectors: tuple[int, ...] = ()
    categoricals: tuple[int, ...] = ()
    as_ids: bool = True

    @property
    def is_nothing(self) -> bool:
        """Whether there is no such thing."""
        return self.block is None and not (self.numbers or self.vectors or self.categoricals)


def lay_out(features: DeepFeaturesSpec, inputs: Mapping[str, Dtype]) -> Layout:
    """The layout of these inputs; any mistakes are left to :func:`proml_kedro.models.deep.check.check`."""
    numbers, vectors, categoricals = [], [], []
    shared = {name: table for table, patterns in features.tables.items() for name in matching(patterns, inputs)}
    for name, dtype in inputs.items():
        size, buckets = vector_size(dtype), setting(features.buckets, name)
        if size is not None:
            vectors.append(Vector(name, size))
        elif dtype == "str":
            categoricals.append(_categorical(features, name, shared.get(name, name)))
        elif buckets is not None:
            dimension = setting(features.embed, name, 16)
            categoricals.append(Categorical(name, "buckets", name, dimension, buckets=buckets))
        else:
            numbers.append(Number(name, setting(features.numeric, name, "standardize")))
    for name, cross in features.crosses.items():
        dimension = setting(features.embed, name, 16)
        categoricals.append(Categorical(name, "cross", name, dimension, bins=cross.buckets, of=tuple(cross.of)))
    return Layout(tuple(numbers), tuple(vectors), features.missing == "indicator", tuple(categoricals))


def _categorical(features: DeepFeaturesSpec, name: str, table: str) -> Categorical:
    common = {
        "name": name,
        "table": table,
        "dimension": setting(features.embed, name, 16),
        "min_count": setting(features.min_count, name, 1),
        "most": setting(features.max_categories, name),
        "bins": setting(features.hash, name),
    }
    text, sequence = setting(features.text, name), setting(features.sequences, name)
    if text is not None:
        return Categorical(form="text", length=text.words, pooling=text.pooling, **common)
    if sequence is not None:
        last = sequence.keep == "last"
        more = {"length": sequence.items, "pooling": sequence.pooling, "separator": sequence.separator, "last": last}
        return Categorical(form="sequence", **more, **common)
    return Categorical(form="category", **common)


def matching(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that any of the patterns matches, in their own order."""
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def setting(value: Any, name: str, default: Any = None) -> Any:
    """What a setting says of an input: its one value, or that of the last pattern that matches."""
    if not isinstance(value, Mapping):
        return value
    found = [one for pattern, one in value.items() if fnmatchcase(name, pattern)]
    return found[-1] if found else default


def resolve(reference: str, spec: DeepSpec, layout: Layout) -> Reference:
    """What a reference stands for; nothing at all when there is no such thing."""
    block, _, part = reference.partition(".")
    if block in spec.graph and part in (spec.graph[block].gives or ("",)):
        return Reference(block=reference)
    everything = [tuple(range(len(one))) for one in (layout.numbers, layout.vectors, layout.categoricals)]
    numbers, vectors, categoricals = everything
    if reference == "numbers":
        return Reference(numbers=numbers)
    if reference == "vectors":
        return Reference(vectors=vectors)
    if reference in ("embeddings", "categories"):
        return Reference(categoricals=categoricals, as_ids=reference == "categories")
    return Reference(
        numbers=_named(layout.numbers, reference),
        vectors=_named(layout.vectors, reference),
        categoricals=_named(layout.categoricals, reference),
    )


def _named(inputs: Sequence[Number | Vector | Categorical], pattern: str) -> tuple[int, ...]:
    return tuple(position for position, one in enumerate(inputs) if fnmatchcase(one.name, pattern))
