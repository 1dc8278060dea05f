"""Optimisers that move the rows of a batch alone, against NumPy, row by row."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

from proml_kedro.errors import UserError
from proml_kedro.models.component import FitContext
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.optimizers import optimizer_of
from proml_kedro.models.deep.training_spec import DeepTrainingSpec
from proml_kedro.spec import HardwareSpec
from proml_kedro.testing import INPUTS, make_examples

ROWS, WIDTH, RATE = 50, 3, 0.05
Weight = namedtuple("Weight", ["value", "name"])


def steps(count=6):
    """Batches of rows, some of them twice, and gradients of each; and of a dense weight."""
    generator = np.random.default_rng(4)
    for _ in range(count):
        rows = generator.choice(20, 12)
        yield (
            rows,
            generator.normal(size=(12, WIDTH)).astype(np.float32),
            generator.normal(size=(2, 2)).astype(np.float32),
        )


def lazy_adam(table, dense):
    """Each row is Adam's of its own, which counts the steps in which it was met."""
    state = {}

    def move(weights, key, gradient):
        times, mean, square = state.get(key, (0, 0.0, 0.0))
        times, mean, square = times + 1, 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        state[key] = times, mean, square
        rate = RATE * np.sqrt(1 - 0.999**times) / (1 - 0.9**times)
        return weights - rate * mean / (np.sqrt(square) + 1e-7)

    for rows, parts, whole in steps():
        for row in np.unique(rows):
            table[row] = move(table[row], row, parts[rows == row].astype(float).sum(axis=0))
        dense = move(dense, "dense", whole)
    return table, dense


def adagrad(table, dense):
    sums, of_dense = np.full(ROWS, 0.1), np.full((2, 2), 0.1)
    for rows, parts, whole in steps():
        for row in np.unique(rows):
            gradient = parts[rows == row].astype(float).sum(axis=0)
            sums[row] += np.mean(gradient**2)
            table[row] -= RATE * gradient / (np.sqrt(sums[row]) + 1e-7)
        of_dense += whole.astype(float) ** 2
        dense = dense - RATE * whole / (np.sqrt(of_dense) + 1e-7)
    return table, dense


@pytest.mark.parametrize(("name", "reference"), [("lazy_adam", lazy_adam), ("adagrad", adagrad)])
def test_rows_move_as_those_of_numpy_and_others_stay(name, reference):
    import tensorflow as tf

    start = np.random.default_rng(5).normal(size=(ROWS, WIDTH)).astype(np.float32)
    table, dense = tf.Variable(start), tf.Variable(np.zeros((2, 2), np.float32))
    weights = [Weight(table, "embeddings"), Weight(dense, "kernel")]
    optimizer = optimizer_of(DeepTrainingSpec(optimizer=name), weights)
    optimizer.learning_rate.assign(RATE)
    before = [one.numpy() for one in optimizer.variables[1:]]
    step = tf.function(
        lambda rows, parts, whole: optimizer.apply([tf.IndexedSlices(parts, rows, (ROWS, WIDTH)), whole], weights)
    )
    for rows, parts, whole in steps():
        step(tf.constant(rows), tf.constant(parts), tf.constant(whole))
    expected = reference(start.astype(float), np.zeros((2, 2)))
    assert table.numpy() == pytest.approx(expected[0], abs=2e-6)
    assert dense.numpy() == pytest.approx(expected[1], abs=2e-6)
    assert (table.numpy()[20:] == start[20:]).all()
    for one, other in zip(before, optimizer.variables[1:], strict=True):
        if len(one) == ROWS:
            assert (one[20:] == other.numpy()[20:]).all()


def test_decay_of_weights_needs_adam():
    with pytest.raises(ValueError, match="weight_decay moves every row of a table, adagrad does not; write"):
        DeepTrainingSpec(optimizer="adagrad", weight_decay=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lazy_adam", "adagrad"])
def test_a_network_learns_by_it_and_goes_on_where_it_was_stopped(name, tmp_path, monkeypatch):
    made = {
        "kind": "deep",
        "inputs": ["*"],
        "features": {"embed": 4},
        "graph": {"deep": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [8]}},
        "head": {"of": "deep"},
        "training": {"epochs": 6, "batch_size": 64, "learning_rate": 0.1, "optimizer": name},
    }
    fresh = make_examples(300, 3)

    def fitted(epochs, checkpoints):
        component = Deep(Deep.Spec.model_validate(made), INPUTS)
        context = FitContext(HardwareSpec(threads=1), seed=1, key="net", final=False, checkpoints=checkpoints)
        if epochs < 6:
            _stop_after(epochs, monkeypatch)
        try:
            component.fit(make_examples(600, 1), make_examples(200, 2), context)
        except KeyboardInterrupt:
            return None
        finally:
            monkeypatch.undo()
        return component.score(fresh.columns)["margin"]

    whole = fitted(6, None)
    assert whole[fresh.label == 1].mean() - whole[fresh.label == 0].mean() > 0.3
    assert fitted(3, tmp_path) is None
    assert (fitted(6, tmp_path) == whole).all()


def _stop_after(epochs, monkeypatch):
    from proml_kedro.models.deep.trainer import Trainer

    epoch = Trainer.epoch

    def stopped(self, number):
        if number >= epochs:
            raise KeyboardInterrupt
        return epoch(self, number)

    monkeypatch.setattr(Trainer, "epoch", stopped)


@pytest.mark.slow
def test_several_devices_need_adam(monkeypatch):
    from proml_kedro.models.deep import component as module

    class Two:
        num_replicas_in_sync = 2

    monkeypatch.setattr(module, "tensorflow_strategy", lambda hardware: Two())
    made = {
        "kind": "deep",
        "inputs": ["*"],
        "graph": {"deep": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [2]}},
        "head": {"of": "deep"},
        "training": {"optimizer": "adagrad"},
    }
    with pytest.raises(UserError) as caught:
        Deep(Deep.Spec.model_validate(made), INPUTS).fit(
            make_examples(60, 1), make_examples(60, 2), FitContext(HardwareSpec(threads=1), seed=1, key="net")
        )
    assert caught.value.mistakes[0].key == "net.training.optimizer"
    assert "'adagrad' trains on one device" in caught.value.mistakes[0].message
