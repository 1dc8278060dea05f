"""The order of a network's inputs in its two matrices, and how each enters: as a number, a vector or ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from proml_kedro.models.deep.features_spec import DeepFeaturesSpec, Numeric, Pooling
from proml_kedro.spec.dtype import Dtype, vector_size

GROUPS = ("numbers", "vectors", "embeddings", "categories")
"""References that stand for all inputs of one sort."""

Form = Literal["category", "buckets", "text", "sequence", "cross"]


@dataclass(frozen=True)
class NumberInput:
    """A number that enters as it is scaled.

    Attributes:
        name: Of the input.
        scaling: As :class:`DeepFeaturesSpec` has it.
    """

    name: str
    scaling: Numeric


@dataclass(frozen=True)
class VectorInput:
    """A vector that enters as it is, divided by its typical size.

    Attributes:
        name: Of the input.
        size: Number of numbers.
    """

    name: str
    size: int


@dataclass(frozen=True)
class CategoricalInput:
    """An input, or a cross of inputs, that enters as ids.

    Attributes:
        name: Of the input, or of the cross.
        form: What its ids stand for.
        table: Name of its embedding table and vocabulary; its own name unless it shares one.
        dimension: Of its embedding.
        min_count: Categories that occur less often are unknown.
        most: Largest number of known categories; None for all.
        bins: Number of ids for hashes; None where there is a vocabulary.
        buckets: Number of buckets of a number.
        of: Inputs of a cross.
        length: Number of ids: more than one for words and items.
        pooling: How the vectors of words and items become one.
        separator: Text between two items; None for words.
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
        """Tell whether its ids come from categories seen in training."""
        return self.form != "buckets" and self.bins is None

    @property
    def is_text(self) -> bool:
        """Tell whether its input holds texts; that of buckets holds numbers, and a cross has none of its own."""
        return self.form not in ("buckets", "cross")


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

    numbers: tuple[NumberInput, ...]
    vectors: tuple[VectorInput, ...]
    indicators: bool
    categoricals: tuple[CategoricalInput, ...]

    def names(self) -> list[str]:
        """List the names of all inputs and crosses."""
        numbers, vectors = [one.name for one in self.numbers], [one.name for one in self.vectors]
        return [*numbers, *vectors, *(one.name for one in self.categoricals)]

    def table_starts(self, dimension: int, sizes: Sequence[int]) -> tuple[dict[str, int], int]:
        """Lay the embedding tables of a dimension one below the other in one matrix.

        Args:
            dimension: Of the embeddings.
            sizes: The number of ids of each categorical, in order.

        Returns:
            The row at which each table begins, and the number of rows.
        """
        starts: dict[str, int] = {}
        rows = 0
        for one, size in zip(self.categoricals, sizes, strict=True):
            if one.dimension == dimension and one.table not in starts:
                starts[one.table] = rows
                rows += size
        return starts, rows

    def width_of(self, numbers: int) -> int:
        """Count the columns that so many numbers take, indicators included."""
        return numbers * (2 if self.indicators else 1)

    @property
    def width(self) -> int:
        """Number of columns of the matrix of numbers."""
        return self.width_of(len(self.numbers)) + sum(one.size for one in self.vectors)

    def columns_of_numbers(self, positions: Sequence[int]) -> list[int]:
        """List the columns of these numbers and of their indicators."""
        first = self.width - len(self.numbers)
        return [*positions, *(first + one for one in positions)] if self.indicators else list(positions)

    def columns_of_vector(self, position: int) -> list[int]:
        """List the columns of a vector."""
        start = len(self.numbers) + sum(one.size for one in self.vectors[:position])
        return list(range(start, start + self.vectors[position].size))

    @property
    def id_count(self) -> int:
        """Number of columns of the matrix of ids."""
        return sum(one.length for one in self.categoricals)

    def columns_of_ids(self, position: int) -> list[int]:
        """List the columns of a categorical."""
        start = sum(one.length for one in self.categoricals[:position])
        return list(range(start, start + self.categoricals[position].length))


def lay_out(features: DeepFeaturesSpec, inputs: Mapping[str, Dtype]) -> Layout:
    """Lay out the inputs; mistakes are for :func:`proml_kedro.models.deep.check_features.check_features` to find.

    Args:
        features: How inputs become tensors.
        inputs: Their types by name, in order.
    """
    numbers, vectors, categoricals = [], [], []
    shared = {name: table for table, patterns in features.tables.items() for name in matching(patterns, inputs)}
    for name, dtype in inputs.items():
        size, buckets = vector_size(dtype), setting(features.buckets, name)
        if size is not None:
            vectors.append(VectorInput(name, size))
        elif dtype == "str":
            categoricals.append(_categorical(features, name, shared.get(name, name)))
        elif buckets is not None:
            dimension = setting(features.embed, name, 16)
            categoricals.append(CategoricalInput(name, "buckets", name, dimension, buckets=buckets))
        else:
            numbers.append(NumberInput(name, setting(features.numeric, name, "standardize")))
    for name, cross in features.crosses.items():
        dimension = setting(features.embed, name, 16)
        categoricals.append(CategoricalInput(name, "cross", name, dimension, bins=cross.buckets, of=tuple(cross.of)))
    return Layout(tuple(numbers), tuple(vectors), features.missing == "indicator", tuple(categoricals))


def _categorical(features: DeepFeaturesSpec, name: str, table: str) -> CategoricalInput:
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
        return CategoricalInput(form="text", length=text.words, pooling=text.pooling, **common)
    if sequence is not None:
        last = sequence.keep == "last"
        more = {"length": sequence.items, "pooling": sequence.pooling, "separator": sequence.separator, "last": last}
        return CategoricalInput(form="sequence", **more, **common)
    return CategoricalInput(form="category", **common)


def matching(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """List the names that any of the patterns matches, in the order of the names.

    >>> matching(["shop.*"], ["shop.price", "visit.city", "shop.city"])
    ['shop.price', 'shop.city']
    """
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def setting(value: Any, name: str, default: Any = None) -> Any:
    """Look up what a setting says of an input: its one value, or that of the last pattern that matches.

    >>> setting({"*": 8, "shop.city": 4}, "shop.city"), setting(16, "shop.city")
    (4, 16)
    """
    if not isinstance(value, Mapping):
        return value
    found = [one for pattern, one in value.items() if fnmatchcase(name, pattern)]
    return found[-1] if found else default
