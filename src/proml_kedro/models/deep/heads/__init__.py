"""Kinds of heads by their loss, a file each; importing this package registers them."""

from proml_kedro.models.deep.heads import binary, categorical, ranking, regression
from proml_kedro.models.deep.heads.base import AnyHead, Head, Learned, heads

__all__ = ["AnyHead", "Head", "Learned", "binary", "categorical", "heads", "ranking", "regression"]
