"""A trained network as a SavedModel: raw values in, outputs out, for whoever serves without Python.

Its signature ``serving_default`` takes each input by its name with ``__`` for the dot (``flight__carrier``): numbers as
float64 of shape (n,), NaN for missing; texts as strings of shape (n,), empty for missing, their letters composed (NFC);
vectors as float32 of shape (n, size). It gives each output by its name as float32 of shape (n,).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from proml_kedro.models.deep.scorer import Scorer
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.inputs import is_entity


def export(scorer: Scorer, folder: Path) -> None:
    """Write the SavedModel into a folder, which is made."""
    import tensorflow as tf

    module = tf.Module()
    module.model = scorer.model  # whatever a signature uses must be reachable from what is saved
    module.tables = scorer.preprocess.tables
    module.serve = _signature(scorer)
    logging.getLogger("absl").setLevel(logging.ERROR)  # it remarks that layers are no part of the signature
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # holds a random id: equal runs would write unequal bundles


def argument(name: str) -> str:
    """Name an input in the signature.

    >>> argument("flight.carrier"), argument("station")
    ('flight__carrier', 'station')
    """
    return name if is_entity(name) else FeatureRef.parse(name).column


def _signature(scorer: Scorer) -> Any:
    import tensorflow as tf

    sizes, texts = scorer.preprocess.numbers, scorer.preprocess.texts

    def serve(**values: Any) -> dict[str, Any]:
        numbers = [tf.cast(tf.reshape(values[argument(name)], (-1, size)), tf.float64) for name, size in sizes.items()]
        strings = [values[argument(name)] for name in texts]
        rows = tf.shape((numbers or strings)[0])[:1]
        matrix = tf.concat(numbers, axis=1) if numbers else tf.zeros(tf.concat([rows, [0]], axis=0), tf.float64)
        text = tf.stack(strings, axis=1) if strings else tf.zeros(tf.concat([rows, [0]], axis=0), tf.string)
        found = scorer.columns_of(matrix, text)
        return {name: tf.cast(found[:, position], tf.float32) for position, name in enumerate(scorer.outputs)}

    vectors = {one.name for one in scorer.preprocess.layout.vectors}
    shapes = {
        argument(name): tf.TensorSpec((None, size), tf.float32, name=argument(name))
        if name in vectors
        else tf.TensorSpec((None,), tf.float64, name=argument(name))
        for name, size in sizes.items()
    }
    shapes |= {argument(name): tf.TensorSpec((None,), tf.string, name=argument(name)) for name in texts}
    return tf.function(serve).get_concrete_function(**shapes)
