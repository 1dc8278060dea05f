"""Choice of the engine: in memory, or streamed from disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from proml_kedro.errors import UserError
from proml_kedro.models.component import Array, Examples, FitContext
from proml_kedro.models.mixed.spec import MixedSpec

logger = logging.getLogger(__name__)

_MANY_ROWS = 5_000_000  # in memory, with names of entities, they would need more than a gigabyte


def is_streamed(spec: MixedSpec, fixed: Sequence[str], examples: Sequence[Examples], context: FitContext) -> bool:
    """Choose by ``engine``, by the number of rows, and by what the model asks for; log the choice.

    Args:
        spec: The model.
        fixed: Inputs that have fixed effects.
        examples: Training rows, one period after the other.
        context: Task, and the component's key for messages.

    Raises:
        UserError: ``engine: streamed`` is asked for, and the model cannot be streamed.
    """
    rows = sum(len(one) for one in examples)
    if not would_stream(spec, rows):
        return False
    unmet = spec.streaming_obstacles(fixed)
    if spec.loss_for(context.task) == "logistic" and not all(_are_classes(one.label) for one in examples):
        unmet.append("every label is 0 or 1")
    if unmet and spec.engine == "streamed":
        raise UserError.at(f"{context.key}.engine", f"'streamed' works where {' and '.join(unmet)}")
    if unmet:
        logger.info("%s: %s rows are fitted in memory; streaming works where %s", context.key, f"{rows:,}", unmet[0])
        return False
    logger.info("%s: %s rows are streamed from disk", context.key, f"{rows:,}")
    return True


def would_stream(spec: MixedSpec, rows: int) -> bool:
    """Tell whether so many rows are streamed, if nothing that the model asks for stands against it."""
    return spec.engine == "streamed" or (spec.engine == "auto" and rows >= _MANY_ROWS)


def _are_classes(label: Array) -> bool:
    """Tell whether every label is 0, 1 or missing."""
    return bool(((label == 0) | (label == 1) | ~np.isfinite(label)).all())
