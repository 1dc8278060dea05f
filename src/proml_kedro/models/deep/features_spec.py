"""The YAML of ``kind: deep`` under ``features``: how inputs become tensors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from proml_kedro.spec.base import Name, Spec

Numeric = Literal["standardize", "log", "quantile"]
Pooling = Literal["mean", "sum", "max"]
Bins = Annotated[int, Field(ge=2, le=100_000_000)]


class TextSpec(Spec):
    """A text that enters as its words.

    Attributes:
        words: Number of words, the first ones. A text is put in small letters and cut at whatever is no letter, no mark
            of one and no digit; ``+`` and ``#`` at the end of a word belong to it. Letters are composed (NFC) first.
        pooling: How the vectors become one; ``attention`` and ``as_sequence`` blocks are given each vector instead.
    """

    words: Annotated[int, Field(ge=1, le=1000)] = 16
    pooling: Pooling = "mean"


class SequenceSpec(Spec):
    """A text that is a list of categories.

    Attributes:
        items: Largest number of items.
        separator: Text between two items.
        keep: Which items are kept when there are more.
        pooling: How the vectors become one; ``attention`` and ``as_sequence`` blocks are given each vector instead.
    """

    items: Annotated[int, Field(ge=1, le=1000)] = 20
    separator: Annotated[str, Field(min_length=1)] = ","
    keep: Literal["first", "last"] = "last"
    pooling: Pooling = "mean"


class CrossSpec(Spec):
    """A category for each combination of the values of several inputs, by a hash.

    Attributes:
        of: Categories and bucketed numbers.
        buckets: Number of ids for all combinations.
    """

    of: Annotated[list[str], Field(min_length=2)]
    buckets: Bins


class DeepFeaturesSpec(Spec):
    """How inputs become tensors.

    Text is a category and is embedded, unless it is under ``text`` or ``sequences``; a number enters as it is scaled,
    or bucketed and embedded; a vector enters as it is, divided by its typical size.

    A setting is one value, or values by input: names or patterns, of which the last that matches holds.

    Attributes:
        embed: Dimension of the embeddings.
        numeric: How numbers are scaled: ``standardize`` by mean and deviation; ``log`` the same after log(1 + |x|)
            with the sign of x; ``quantile`` to their rank, from -1 to 1.
        missing: ``indicator`` gives each number a second column that says that it is missing; ``mean`` does not.
        buckets: Numbers that become categories, by how many buckets of equal counts.
        min_count: A category, word or item that occurs less often in training is unknown.
        unknown: Share of the categories, words and items of each input, drawn anew each epoch, that training takes for
            unknown, if fewer are: so it learns what to expect of those that it has not seen, of bins of hashes that
            no example fell into, and of missing values where none was missing.
        max_categories: How many are known at most, the most frequent ones.
        hash: Categories without a vocabulary, by how many ids their hashes are spread over.
        text: Inputs that are texts of words.
        sequences: Inputs that are lists of categories.
        crosses: Combinations of categories, by a name to refer to.
        tables: Embedding tables by name, each with the inputs that share it and its vocabulary.
    """

    embed: PositiveInt | dict[str, PositiveInt] = 16
    numeric: Numeric | dict[str, Numeric] = "standardize"
    missing: Literal["indicator", "mean"] = "indicator"
    buckets: dict[str, Annotated[int, Field(ge=2, le=1000)]] = {}
    min_count: PositiveInt | dict[str, PositiveInt] = 1
    unknown: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    max_categories: PositiveInt | dict[str, PositiveInt] | None = None
    hash: dict[str, Bins] = {}
    text: dict[str, TextSpec] = {}
    sequences: dict[str, SequenceSpec] = {}
    crosses: dict[Name, CrossSpec] = {}
    tables: dict[Name, Annotated[list[str], Field(min_length=1)]] = {}
