"""Kinds of blocks, a file each; importing this package registers them."""

from proml_kedro.models.deep.blocks import (
    attention,
    combine,
    cross,
    dot,
    dot_interaction,
    fm,
    l2_normalize,
    layer,
    linear,
    mlp,
    mmoe,
)
from proml_kedro.models.deep.blocks.base import AnyBlock, Block, Categories, Items, References, blocks, flat, layers

__all__ = [
    "AnyBlock",
    "Block",
    "Categories",
    "Items",
    "References",
    "attention",
    "base",
    "blocks",
    "combine",
    "cross",
    "dot",
    "dot_interaction",
    "flat",
    "fm",
    "l2_normalize",
    "layer",
    "layers",
    "linear",
    "mlp",
    "mmoe",
]
