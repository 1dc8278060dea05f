"""Kinds of blocks, a file each; :data:`proml_kedro.extensions.blocks` finds them by their names."""

from proml_kedro.models.deep.blocks.base import (
    AnyBlock,
    Block,
    Categories,
    Items,
    ItemWidth,
    References,
    Width,
)
from proml_kedro.models.deep.blocks.tensors import flat, stacked
from proml_kedro.models.deep.blocks.widths import items_width, same_width, total

__all__ = [
    "AnyBlock",
    "Block",
    "Categories",
    "ItemWidth",
    "Items",
    "References",
    "Width",
    "flat",
    "items_width",
    "same_width",
    "stacked",
    "total",
]
