"""Margins by XGBoost's C interface are those of its Python interface, to the bit, or are not used."""

from __future__ import annotations

import ctypes
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import xgboost

from proml_kedro.models.xgboost.dense import DenseMargin, fast_margin


def grown(classes: int = 0) -> xgboost.Booster:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(400, 5)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.2] = np.nan
    matrix[:, 4] = random.integers(0, 6, 400)
    label = (np.nan_to_num(matrix[:, 0]) + (matrix[:, 4] == 2) > 0.3).astype(int) + (matrix[:, 4] == 3) * (classes > 2)
    data = xgboost.DMatrix(matrix, label, feature_types=["q"] * 4 + ["c"], enable_categorical=True)
    objective = {"objective": "multi:softprob", "num_class": classes} if classes else {"objective": "binary:logistic"}
    return xgboost.train({**objective, "max_depth": 4, "nthread": 1}, data, 12)


def asked(rows: int) -> np.ndarray:
    random = np.random.default_rng(rows)
    matrix = random.normal(size=(rows, 5)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.3] = np.nan
    matrix[:, 4] = random.integers(0, 9, rows)  # categories that it has never seen, too
    return matrix


@pytest.mark.parametrize("classes", [0, 3])
def test_margins_are_the_same_to_the_bit(classes: int) -> None:
    booster = grown(classes)
    margin = fast_margin(booster, xgboost.core._LIB, 5)
    assert margin is not None
    for rows in (1, 2, 7, 300):
        expected = booster.inplace_predict(asked(rows), predict_type="margin", validate_features=False)
        found = margin(asked(rows))
        assert found.shape == expected.shape
        assert np.array_equal(found, expected)


def test_each_thread_has_its_own_answers() -> None:
    booster = grown()
    margin = fast_margin(booster, xgboost.core._LIB, 5)
    assert margin is not None
    wrong: list[int] = []

    def ask(rows: int) -> None:
        matrix = asked(rows)
        expected = booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
        wrong.extend(rows for _ in range(300) if not np.array_equal(margin(matrix), expected))

    threads = [Thread(target=ask, args=(rows,)) for rows in (1, 3, 40)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


class Other:
    """A library whose function does something else."""

    def __init__(self, answer: float) -> None:
        self._kept = (ctypes.c_float * 4)(*[answer] * 4), (ctypes.c_uint64 * 1)(4)

    def XGBoosterPredictFromDense(self, *given: object) -> int:  # noqa: N802
        *_, sizes, dimensions, found = given
        values, shape = self._kept
        sizes._obj.contents = shape[0] and ctypes.c_uint64.from_buffer(shape)
        dimensions._obj.value = 1
        found._obj.contents = ctypes.c_float.from_buffer(values)
        return 0


def test_what_answers_otherwise_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    booster = grown()
    assert fast_margin(booster, Other(0.25), 5) is None
    assert "others than those of inplace_predict" in caplog.text
    assert fast_margin(booster, object(), 5) is None


def test_a_refusal_is_no_answer() -> None:
    margin = DenseMargin(grown(), xgboost.core._LIB)
    with pytest.raises(RuntimeError, match="cannot score a dense matrix"):
        margin(asked(2)[:, :3].copy())


def test_loaded_trees_use_it_and_score_as_before(tmp_path: Path) -> None:
    from proml_kedro.bundle import Bundle
    from proml_kedro.models.columns import read_columns
    from small import make_bundle

    bundle = Bundle.load(make_bundle(tmp_path))
    (trees,) = bundle.graph.components.values()
    columns = read_columns(bundle.path / "golden.parquet", bundle.inputs, precision="float64")
    fast = bundle.score(columns)
    assert trees._dense is not None
    trees._dense = None
    assert np.array_equal(fast, bundle.score(columns))
    assert len(bundle.score({name: one[:0] for name, one in columns.items()})) == 0
