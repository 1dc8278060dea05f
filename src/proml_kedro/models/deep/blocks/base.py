"""The protocol of blocks: their YAML, the width of what they give, and the Keras layers they stand for.

:func:`proml_kedro.testing.check_block` proves the laws of a kind.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from proml_kedro.extensions import UnknownNameError, blocks
from proml_kedro.spec.base import Spec

Width = int | None
"""Width of one vector; None where only Keras knows."""


class ItemWidth(int):
    """Width of each item of a text or a sequence, where a block is given :class:`Items`."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


References = Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
"""``numbers``, ``vectors``, ``embeddings``, ``categories``, other blocks, and inputs by name or with ``*``."""


@dataclass(frozen=True)
class Categories:
    """Categories before they are embedded, as :attr:`Block.reads_categories` asks for.

    Attributes:
        ids: Integer tensor of shape (n, columns); each column counts from 0.
        sizes: Number of different ids of each feature.
        columns: Number of columns of each feature: more than one for words and sequences, where 0 is padding.
    """

    ids: Any
    sizes: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Items:
    """Vectors of a text's words or a sequence's items before they are pooled, for :attr:`Block.reads_items`.

    Attributes:
        vectors: Tensor of shape (n, length, dimension).
        present: Boolean tensor of shape (n, length); false for padding.
    """

    vectors: Any
    present: Any


class Block(Spec):
    """A node of the graph; each kind adds its own keys in a subclass.

    Attributes:
        block: Which kind of block it is.
        of: What it reads: ``numbers``, ``vectors``, ``embeddings``, ``categories``, other blocks (of one that gives
            several vectors, ``block.vector``), and inputs by name or with ``*``.
    """

    reads_categories: ClassVar[bool] = False
    """Whether it is given :class:`Categories` instead of embeddings."""

    block: str
    of: References

    @property
    def reads_items(self) -> bool:
        """Tell whether it is given :class:`Items` of texts and sequences, rather than one pooled vector of each."""
        return False

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of its vectors, for a kind that gives several; each is referred to as ``block.vector``."""
        return ()

    @abstractmethod
    def width(self, parts: Sequence[Width]) -> Width:
        """Compute the width of what it gives without Keras; of each vector, where it gives several.

        Args:
            parts: Widths of the vectors it is given: one for all numbers together, one for each embedding and block; an
                :class:`ItemWidth` for items.

        Raises:
            ValueError: It cannot work on these; the message is for the user.
        """

    @abstractmethod
    def build(self, name: str, values: Sequence[Any]) -> Any:
        """Build the Keras tensor it gives, of shape (n, width); several by name, where :attr:`gives` says so.

        Args:
            name: The block's name, for its layers.
            values: What it reads: tensors of shape (n, width), embeddings together as (n, fields, dimension), and
                :class:`Categories` or :class:`Items` for a kind that reads them.
        """

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the class of the block that a piece of YAML names."""
        try:
            chosen: type[Spec] = blocks.get(str(_kind(value))) if isinstance(value, dict) else cls
        except UnknownNameError:
            return cls
        return chosen


def _kind(value: Mapping[str, Any]) -> str | None:
    """Return the kind of block: ``layer: NAME`` is short for ``block: layer`` with that layer."""
    return "layer" if "layer" in value else value.get("block")


AnyBlock = blocks.field(Block, lambda block: block, "block", name_of=_kind, prefix="block: ")
"""A block of any kind, which its ``block`` names, or ``layer``."""
