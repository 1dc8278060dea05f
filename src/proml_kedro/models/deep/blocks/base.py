"""What a block is: its YAML, the width of what it gives, and the Keras layers it stands for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from proml_kedro.extensions import Registry, UnknownNameError
from proml_kedro.spec.base import Spec

Part = int | None
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
        sizes: How many different ids each feature can have.
        columns: How many columns each feature has: more than one for words and sequences, where 0 only fills up.
    """

    ids: Any
    sizes: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Items:
    """The vectors of a text's words or a sequence's items before they are pooled, for :attr:`Block.reads_items`.

    Attributes:
        vectors: Tensor of shape (n, length, dimension).
        present: Boolean tensor of shape (n, length); false where nothing is and only length is filled up.
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

    block: str
    of: References

    @property
    def reads_items(self) -> bool:
        """Whether it is given :class:`Items` of texts and sequences, rather than one pooled vector of each."""
        return False

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of its vectors, for a kind that gives several; each is referred to as ``block.vector``."""
        return ()

    @abstractmethod
    def width(self, parts: Sequence[Part]) -> Part:
        """The width of what it gives, found without Keras; of each vector, where it gives several.

        Args:
            parts: Widths of the vectors it is given: one for all numbers together, one for each embedding and block; an
                :class:`ItemWidth` for items.

        Raises:
            ValueError: It cannot work on these; the message is for the user.
        """

    @abstractmethod
    def build(self, name: str, values: Sequence[Any]) -> Any:
        """The Keras tensor it gives, of shape (n, width); several by name, where :attr:`gives` says so.

        Args:
            name: The block's name, for its layers.
            values: What it reads: tensors of shape (n, width), embeddings together as (n, fields, dimension), and
                :class:`Categories` or :class:`Items` for a kind that reads them.
        """

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """What a block of this kind may say."""
        try:
            chosen: type[Spec] = blocks.get(_kind(value)) if isinstance(value, dict) else cls
        except UnknownNameError:
            return cls
        return chosen


blocks: Registry[Any] = Registry("block", "proml_kedro.blocks")
"""Classes that implement :class:`Block`."""

layers: Registry[Any] = Registry("layer", "proml_kedro.layers")
"""Keras layers of one's own for ``layer: NAME``: classes, or functions that return an instance; called with its
``config`` and ``name``."""


def _kind(value: dict[str, Any]) -> str:
    return "layer" if "layer" in value else str(value.get("block"))


def _pick_block(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, dict):
        return handler(value)
    if value.get("block") is None and "layer" not in value:
        known = ", ".join(blocks.names())
        raise PydanticCustomError("block", "block: is missing; known: {known}", {"known": known})
    try:
        blocks.get(_kind(value))
    except UnknownNameError as error:
        raise PydanticCustomError("block", "block: {message}", {"message": str(error)}) from error
    return Block.for_value(value).model_validate(value)


AnyBlock = Annotated[SerializeAsAny[Block], WrapValidator(_pick_block)]


def flat(values: Sequence[Any]) -> Any:
    """Tensors side by side in one of shape (n, total width)."""
    import keras

    parts = [keras.layers.Flatten()(value) if len(value.shape) > 2 else value for value in values]
    return keras.ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def stacked(values: Sequence[Any]) -> Any:
    """Vectors of one dimension above each other; shape (n, vectors, dimension)."""
    import keras

    parts = [keras.ops.expand_dims(value, 1) if len(value.shape) == 2 else value for value in values]
    return keras.ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def total(parts: Sequence[Part]) -> Part:
    """The width of all vectors together."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def same_width(parts: Sequence[Part], what: str) -> Part:
    """The one width that all vectors have.

    Raises:
        ValueError: They differ.
    """
    known = sorted({part for part in parts if part is not None})
    if len(known) > 1:
        raise ValueError(f"{what} needs vectors of one width, not of {', '.join(map(str, known))}")
    return known[0] if known else None


def pair(parts: Sequence[Part], what: str) -> None:
    """See that there are two vectors of one width.

    Raises:
        ValueError: There are not.
    """
    if len(parts) != 2:
        raise ValueError(f"{what} compares two vectors, not {len(parts)}")
    same_width(parts, what)


def items_width(parts: Sequence[Part], what: str) -> ItemWidth:
    """The width of the items of the one text or sequence among what a block is given.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [part for part in parts if isinstance(part, ItemWidth)]
    if len(found) != 1:
        raise ValueError(f"{what} reads exactly one text or sequence, not {len(found)}")
    return found[0]
