"""Which inputs are numbers, which are embedded and how, and what a reference of a block stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.spec import DeepFeaturesSpec, DeepSpec, Numeric
from proml_kedro.spec.dtype import Dtype

T = TypeVar("T", int, Numeric)
D = TypeVar("D")

GROUPS = ("numbers", "embeddings", "categories")


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
class Categorical:
    """An input that enters as a category.

    Attributes:
        name: Of the input.
        table: The embedding table, and vocabulary, that it uses; its own is called like the input.
        dimension: Of its embedding.
        min_count: Rarer categories are unknown.
        buckets: How many buckets a number is cut into; None for text.
    """

    name: str
    table: str
    dimension: int
    min_count: int
    buckets: int | None


@dataclass(frozen=True)
class Layout:
    """The inputs of a network in the order of its matrices.

    Attributes:
        numbers: Columns of the matrix of numbers; all of them again as indicators of what is missing, if there are any.
        indicators: Whether there are indicators.
        categoricals: Columns of the matrix of ids.
    """

    numbers: tuple[Number, ...]
    indicators: bool
    categoricals: tuple[Categorical, ...]

    def width_of(self, numbers: int) -> int:
        """Columns that so many numbers take."""
        return numbers * (2 if self.indicators else 1)


@dataclass(frozen=True)
class Reference:
    """What one entry of ``of`` stands for: a block, or inputs.

    Attributes:
        block: Name of the block; None for inputs.
        numbers: Positions in :attr:`Layout.numbers`.
        categoricals: Positions in :attr:`Layout.categoricals`.
        as_ids: Whether a block that reads categories is given the ids: always, but for ``embeddings``.
    """

    block: str | None = None
    numbers: tuple[int, ...] = ()
    categoricals: tuple[int, ...] = ()
    as_ids: bool = True


def lay_out(features: DeepFeaturesSpec, inputs: Mapping[str, Dtype]) -> Layout:
    """The layout of these inputs; any mistakes are left to :func:`check_features`."""
    shared = {name: table for table, patterns in features.tables.items() for name in matching(patterns, inputs)}
    numbers, categoricals = [], []
    for name, dtype in inputs.items():
        buckets = _setting(features.buckets, name, None)
        if dtype != "str" and buckets is None:
            numbers.append(Number(name, _setting(features.numeric, name, "standardize")))
            continue
        dimension, min_count = _setting(features.embed, name, 16), _setting(features.min_count, name, 1)
        if dtype == "str":
            categoricals.append(Categorical(name, shared.get(name, name), dimension, min_count, None))
        else:
            categoricals.append(Categorical(name, name, dimension, min_count, buckets))
    return Layout(tuple(numbers), features.missing == "indicator", tuple(categoricals))


def matching(patterns: Sequence[str], names: Mapping[str, object]) -> list[str]:
    """The names that any of the patterns matches, in their own order."""
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _setting(value: T | Mapping[str, T], name: str, default: D) -> T | D:
    if not isinstance(value, Mapping):
        return value
    found = [one for pattern, one in value.items() if fnmatchcase(name, pattern)]
    return found[-1] if found else default


def resolve(reference: str, spec: DeepSpec, layout: Layout) -> Reference:
    """What a reference stands for; nothing at all when there is no such thing."""
    if reference in spec.graph:
        return Reference(block=reference)
    numbers = tuple(range(len(layout.numbers)))
    categoricals = tuple(range(len(layout.categoricals)))
    if reference == "numbers":
        return Reference(numbers=numbers)
    if reference in ("embeddings", "categories"):
        return Reference(categoricals=categoricals, as_ids=reference == "categories")
    return Reference(
        numbers=tuple(one for one in numbers if fnmatchcase(layout.numbers[one].name, reference)),
        categoricals=tuple(one for one in categoricals if fnmatchcase(layout.categoricals[one].name, reference)),
    )


def check_features(features: DeepFeaturesSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    """Names that match nothing, and tables that cannot be; keys begin at ``features``."""
    text = {name: dtype for name, dtype in inputs.items() if dtype == "str"}
    numbers = {name: dtype for name, dtype in inputs.items() if dtype != "str"}
    for key, known in (("embed", inputs), ("numeric", numbers), ("buckets", numbers), ("min_count", text)):
        patterns = getattr(features, key)
        for pattern in patterns if isinstance(patterns, Mapping) else ():
            if not matching([pattern], known):
                sort = "number" if known is numbers else "text" if known is text else "feature"
                yield Mistake(f"features.{key}.{pattern}", unknown(f"{sort} among the inputs", pattern, known))
    yield from _check_tables(features, inputs, text)


def _check_tables(
    features: DeepFeaturesSpec, inputs: Mapping[str, Dtype], text: Mapping[str, Dtype]
) -> Iterator[Mistake]:
    owner: dict[str, str] = {}
    for table, patterns in features.tables.items():
        for position, pattern in enumerate(patterns):
            key = f"features.tables.{table}.{position}"
            members = matching([pattern], text)
            if not members:
                yield Mistake(key, unknown("text among the inputs", pattern, text))
            for name in members:
                if owner.setdefault(name, table) != table:
                    yield Mistake(key, f"'{name}' has the table '{owner[name]}' already")
    layout = lay_out(features, inputs)
    for table in features.tables:
        members_of = [one for one in layout.categoricals if one.table == table]
        if len({(one.dimension, one.min_count) for one in members_of}) > 1:
            names = ", ".join(one.name for one in members_of)
            yield Mistake(f"features.tables.{table}", f"embed and min_count must be equal for {names}")
