"""Texts cut into words or items, in TensorFlow: vocabularies and scores use the same function."""

from __future__ import annotations

from typing import Any

from proml_kedro.models.deep.layout import CategoricalInput


def tokens(texts: Any, one: CategoricalInput) -> Any:
    """Cut texts into words or items, padded with empty ones.

    Args:
        texts: String tensor of shape (n,), empty for missing.
        one: Says where texts are cut and how many tokens are kept.

    Returns:
        String tensor of shape (n, length).
    """
    import tensorflow as tf

    if one.separator is None:
        small = tf.strings.lower(texts, encoding="utf-8")
        parts = tf.strings.split(tf.strings.regex_replace(small, r"[^\pL\pN]+", " "))
    else:
        parts = tf.strings.split(texts, sep=one.separator)
        parts = tf.ragged.map_flat_values(tf.strings.strip, parts)
    if one.last:
        parts = parts[:, -one.length :]
    return parts.to_tensor("", shape=(None, one.length))
