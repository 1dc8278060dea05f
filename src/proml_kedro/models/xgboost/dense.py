"""Margins by XGBoost's C interface, without what its Python interface adds to each call: 60 µs a row, not 150."""

from __future__ import annotations

import ctypes
import json
import logging
from typing import Any

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

_MARGIN = 1
_ROWS = 4
"""Of the comparison with XGBoost's own answers, before this is used at all."""

Margins = npt.NDArray[np.float32]


class DenseMargin:
    """Margins of dense matrices, by ``XGBoosterPredictFromDense``: the code that ``inplace_predict`` runs.

    Args:
        booster: An ``xgboost.Booster``.
        library: XGBoost's library, as ``ctypes`` has loaded it.
    """

    def __init__(self, booster: Any, library: Any) -> None:
        self._booster, self._predict = booster, library.XGBoosterPredictFromDense
        self._config = json.dumps(
            {
                "type": _MARGIN,
                "training": False,
                "iteration_begin": 0,
                "iteration_end": 0,
                "strict_shape": False,
                "cache_id": 0,
                "missing": float("nan"),
            }
        ).encode()

    def __call__(self, matrix: npt.NDArray[np.float32]) -> Margins:
        """Compute margins, shape (n,), or (n, classes).

        Args:
            matrix: Shape (n, features), n ≥ 1, float32, contiguous by rows; NaN where a value is missing.

        Raises:
            RuntimeError: XGBoost refuses it.
        """
        interface = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (
            matrix.ctypes.data,
            *matrix.shape,
        )
        sizes, found = ctypes.POINTER(ctypes.c_uint64)(), ctypes.POINTER(ctypes.c_float)()
        dimensions = ctypes.c_uint64()
        status = self._predict(
            self._booster.handle,
            interface,
            self._config,
            None,
            ctypes.byref(sizes),
            ctypes.byref(dimensions),
            ctypes.byref(found),
        )
        if status:
            raise RuntimeError("XGBoost cannot score a dense matrix")
        shape = tuple(sizes[: dimensions.value])
        content = ctypes.string_at(found, 4 * int(np.prod(shape)))  # a copy: the next call of this thread reuses it
        return np.frombuffer(content, np.float32).reshape(shape)


def fast_margin(booster: Any, library: Any, columns: int) -> DenseMargin | None:
    """Return a way to margins that gives exactly those of ``inplace_predict``; None where it does not.

    Args:
        booster: An ``xgboost.Booster``.
        library: XGBoost's library.
        columns: Number of features.
    """
    random = np.random.default_rng(0)
    probe = random.normal(size=(_ROWS, columns)).astype(np.float32)
    probe[probe < -0.5] = np.nan
    probe = np.abs(probe).round()  # a category has a whole number, from 0
    try:
        found = DenseMargin(booster, library)
        for rows in (probe, probe[:1]):
            expected = booster.inplace_predict(rows, predict_type="margin", validate_features=False)
            if not np.array_equal(found(np.ascontiguousarray(rows)), expected):
                raise RuntimeError("its margins are others than those of inplace_predict")
    except (AttributeError, RuntimeError, TypeError, ValueError, ctypes.ArgumentError) as error:
        logger.warning("trees are scored the slow way: %s", error)
        return None
    return found
