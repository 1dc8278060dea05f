"""Kinds of heads, a file for each kind of label; :data:`proml_kedro.extensions.heads` finds them by their loss."""

from proml_kedro.models.deep.heads.base import AnyHead, Head, HeadState

__all__ = ["AnyHead", "Head", "HeadState"]
