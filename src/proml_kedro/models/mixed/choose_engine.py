"""Whether a model is fitted in memory or streamed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from proml_kedro.errors import UserError

if TYPE_CHECKING:
    from proml_kedro.models.component import Array, Examples, FitContext
    from proml_kedro.models.mixed.spec import MixedSpec

logger = logging.getLogger(__name__)

_MANY_ROWS = 5_000_000  # which in memory, with names of entities, would need more than a gigabyte
_MOST_FEATURES = 5
_INTERCEPT = "intercept"


def obstacles(spec: MixedSpec, fixed: Sequence[str]) -> list[str]:
    """What a model asks for that can be had in memory only.

    Args:
        spec: The model.
        fixed: The inputs that have fixed effects.
    """
    if len(spec.random_effects) != 1 or len(spec.coefficients) != 1:
        return ["there is one random effect, of coefficients"]
    effect = spec.coefficients[0]
    needed = {
        "the method is variational or pql": spec.method != "laplace",
        "the features of the random effect include the intercept": _INTERCEPT in effect.features,
        f"they are at most {_MOST_FEATURES}": len(effect.features) <= _MOST_FEATURES,
        "all fixed effects are features of the random effect": set(fixed) <= set(effect.features),
        "there is no l1 penalty": spec.l1 == 0,
        "nothing is locked, and all entities are estimated": not spec.locked and spec.update == "all",
    }
    return [need for need, met in needed.items() if not met]


def is_streamed(spec: MixedSpec, fixed: Sequence[str], examples: Sequence[Examples], context: FitContext) -> bool:
    """Whether to stream, by ``engine``, the number of rows, and what the model asks for; which is logged.

    Raises:
        UserError: The model is to be streamed and cannot be.
    """
    rows = sum(len(one) for one in examples)
    if spec.engine == "memory" or (spec.engine == "auto" and rows < _MANY_ROWS):
        return False
    unmet = obstacles(spec, fixed)
    if spec.loss_for(context.task) == "logistic" and not all(_are_classes(one.label) for one in examples):
        unmet.append("every label is 0 or 1")
    if unmet and spec.engine == "streamed":
        raise UserError.at(f"{context.key}.engine", f"'streamed' works where {' and '.join(unmet)}")
    if unmet:
        logger.info("%s: %s rows are fitted in memory; streaming works where %s", context.key, f"{rows:,}", unmet[0])
        return False
    logger.info("%s: %s rows are streamed from disk", context.key, f"{rows:,}")
    return True


def _are_classes(label: Array) -> bool:
    import numpy as np  # not above: the configuration is checked without it

    return bool(((label == 0) | (label == 1) | ~np.isfinite(label)).all())
