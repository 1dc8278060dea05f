"""Texts cut into words or items, in TensorFlow: vocabularies and scores use the same function."""

from __future__ import annotations

from typing import Any
from unicodedata import normalize

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.deep.layout import CategoricalInput

_CUTS = (
    (r"[^\pL\pM\pN+#]+", " "),  # marks belong to letters: the vowels of Hindi are marks
    (r"[+#]+([\pL\pM\pN])", r" \1"),
    (r"(^| )[+#]+", " "),  # C++ and C# are no C, but a sign by itself is no word
)
"""Patterns, and what each is replaced by, that leave words with spaces between them."""


def composed(texts: Array) -> Array:
    """Compose letters and their marks (Unicode's NFC), which TensorFlow cannot: é is one letter however it is written.

    Args:
        texts: Strings or None, dtype object of shape (n,).
    """
    done = [one if one is None or one.isascii() else normalize("NFC", one) for one in texts.tolist()]
    return np.array(done, object)


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
        for pattern, by in _CUTS:
            small = tf.strings.regex_replace(small, pattern, by)
        parts = tf.strings.split(small)
    else:
        parts = tf.strings.split(texts, sep=one.separator)
        parts = tf.ragged.map_flat_values(tf.strings.strip, parts)
        parts = tf.ragged.boolean_mask(parts, parts != "")
    if one.last:
        parts = parts[:, -one.length :]
    return parts.to_tensor("", shape=(None, one.length))
