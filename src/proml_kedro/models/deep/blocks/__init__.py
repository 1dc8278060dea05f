"""Kinds of blocks, a file each; importing this package registers them."""

from proml_kedro.models.deep.blocks import combine, cross, dot_interaction, fm, layer, linear, mlp
from proml_kedro.models.deep.blocks.base import AnyBlock, Block, Categories, References, blocks, flat

__all__ = [
    "AnyBlock",
    "Block",
    "Categories",
    "References",
    "blocks",
    "combine",
    "cross",
    "dot_interaction",
    "flat",
    "fm",
    "layer",
    "linear",
    "mlp",
]
