"""Curves of training as TensorBoard reads them; TensorBoard itself need not be installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Logs:
    """A writer of numbers of each epoch.

    Args:
        folder: Where to; None to write nothing.
    """

    def __init__(self, folder: str | None) -> None:
        self._writer: Any = None
        if folder is not None:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(folder)

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        if self._writer is None:
            return
        import tensorflow as tf

        kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), step=epoch, metadata=kind)
        self._writer.flush()

    def close(self) -> None:
        """Write what is still buffered."""
        if self._writer is not None:
            self._writer.close()
