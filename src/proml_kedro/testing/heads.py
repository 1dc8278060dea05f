"""The laws of heads of a deep component."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from proml_kedro.extensions import heads
from proml_kedro.models.component import Array
from proml_kedro.models.deep.devices import limit_tensorflow
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.metrics import METRICS
from proml_kedro.testing.keys import check_unknown_key

_ROWS, _LENGTH = 24, 4
_TOLERANCE = 1e-5


def check_head(config: Mapping[str, Any], label: Sequence[float] | None = None, weights_repeat: bool = True) -> None:
    """Prove the laws for one configured head.

    In a test of your own::

        def test_my_head():
            check_head({"loss": "hinge", "margin": 1.0})

    Args:
        config: Its YAML as a mapping; ``of`` may be left out.
        label: 24 labels that it can learn; drawn by its tasks when left out, or the number of a margin when it has
            none. Each four of them are a group.
        weights_repeat: Prove that weight 2 counts as the same row, or group, twice.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    limit_tensorflow(1)
    kind: type[Head] = heads.get(str(config.get("loss", "binary")))
    given = {"of": "x", **config}
    head = kind.model_validate(given)
    check_unknown_key(kind.model_validate, given)
    batch = _draw(head, label)
    learned = _check_start(head, batch)
    _check_outputs(head, batch, learned)
    batch = replace(batch, label=np.asarray(batch.label - head.origin(learned), np.float32))
    if head.origin(learned):
        _check_far_labels(head, batch, learned)
    _check_gradient(head, batch, learned)
    _check_missing_labels(head, batch, learned)
    if weights_repeat:
        _check_weights(head, batch, learned)
    _check_metrics(head)


@dataclass(frozen=True)
class _Batch:
    """Rows: labels and weights (n,), margins (n, units), or all of them (lists, length)."""

    label: Array
    margin: Array
    weight: Array

    def take(self, rows: Any) -> _Batch:
        return _Batch(self.label[rows], self.margin[rows], self.weight[rows])

    def loss(self, head: Head, learned: HeadState) -> float:
        return float(head.loss_of(self.label, self.margin, self.weight, learned))


def _draw(head: Head, label: Sequence[float] | None) -> _Batch:
    generator = np.random.default_rng(0)
    drawn = {
        "binary": generator.integers(0, 2, _ROWS),
        "regression": generator.normal(50, 20, _ROWS),
        "count": generator.poisson(2, _ROWS),
        None: generator.integers(0, head.units, _ROWS),
    }
    known = drawn[next(iter(head.tasks), None)] if label is None else label
    batch = _Batch(
        np.asarray(known, np.float64),
        generator.normal(size=(_ROWS, head.units)).astype(np.float32),
        generator.uniform(0.5, 2, _ROWS).astype(np.float32),
    )
    if not head.by_group:
        return batch
    return _Batch(*(values.reshape(-1, _LENGTH) for values in (batch.label, batch.margin, batch.weight)))


def _check_start(head: Head, batch: _Batch) -> HeadState:
    biases, learned = head.begin(batch.label.ravel(), np.ones(_ROWS))
    assert len(biases) == head.units, f"it starts with {len(biases)} biases and has {head.units} margins"
    assert np.isfinite(biases).all(), "it starts with biases that are not finite"
    assert json.loads(json.dumps(dict(learned))) == dict(learned), "what it has learned is no JSON"
    return learned


def _check_far_labels(head: Head, batch: _Batch, learned: HeadState) -> None:
    """Compare labels with the same ones a billion further, which single precision rounds to multiples of 64."""
    far = batch.label.ravel().astype(np.float64) + head.origin(learned) + 2.0**30
    _, known = head.begin(far, np.ones(_ROWS))
    moved = np.asarray((far - head.origin(known)).reshape(batch.label.shape), np.float32)
    law = "labels far from 0 are learned like those near it: see Head.origin"
    _same(law, batch.loss(head, learned), replace(batch, label=moved).loss(head, known))


def _check_gradient(head: Head, batch: _Batch, learned: HeadState) -> None:
    import tensorflow as tf

    margin = tf.constant(batch.margin)
    with tf.GradientTape() as tape:
        tape.watch(margin)
        loss = head.loss_of(batch.label, margin, batch.weight, learned)
    assert loss.shape == (), f"the loss of a batch is a single number, not of shape {loss.shape}"
    assert np.isfinite(float(loss)), "the loss is not finite"
    gradient = tape.gradient(loss, margin)
    assert gradient is not None, "the loss has no gradient"
    gradient = np.asarray(gradient)
    assert np.isfinite(gradient).all(), "the gradient of the loss is not finite"
    step = 0.01 * gradient / np.linalg.norm(gradient)
    lower = _Batch(batch.label, batch.margin - step, batch.weight).loss(head, learned)
    assert lower < float(loss), "a step against the gradient does not lower the loss"


def _check_missing_labels(head: Head, batch: _Batch, learned: HeadState) -> None:
    axis = 1 if head.by_group else 0
    missing = _Batch(np.full_like(batch.label, np.nan), batch.margin[::-1] + 3, 5 * batch.weight)
    names = ("label", "margin", "weight")
    both = _Batch(*(np.concatenate([getattr(batch, one), getattr(missing, one)], axis=axis) for one in names))
    _same("rows without a label do not count", batch.loss(head, learned), both.loss(head, learned))
    assert missing.loss(head, learned) == 0, "the loss of rows without any label is not 0"
    import tensorflow as tf

    margin = tf.constant(both.margin)
    with tf.GradientTape() as tape:
        tape.watch(margin)
        loss = head.loss_of(both.label, margin, both.weight, learned)
    pulled = np.asarray(tape.gradient(loss, margin))[np.isnan(both.label)]
    assert (pulled == 0).all(), "rows without a label have a gradient"


def _check_weights(head: Head, batch: _Batch, learned: HeadState) -> None:
    """Compare weight 2 of every third row, or list, with that row, or list, twice."""
    counts = np.where(np.arange(len(batch.label)) % 3 == 0, 2, 1)
    heavy = _Batch(batch.label, batch.margin, (batch.weight.T * counts).T.astype(np.float32))
    repeated = batch.take(np.repeat(np.arange(len(counts)), counts))
    law = "weight 2 counts as the same row, or group, twice"
    _same(law, repeated.loss(head, learned), heavy.loss(head, learned))


def _check_outputs(head: Head, batch: _Batch, learned: HeadState) -> None:
    margin = batch.margin.reshape(-1, head.units).astype(np.float64)
    after = head.calibrate(batch.label.ravel().astype(np.float64), margin, np.ones(_ROWS), learned)
    assert set(after) == set(learned), f"calibration gives {sorted(after)} where {sorted(learned)} was learned before"
    assert json.loads(json.dumps(dict(after))) == dict(after), "what calibration has learned is no JSON"
    for known in (learned, after):
        outputs = [np.asarray(one) for one in head.finish(margin, known)]
        assert len(outputs) == len(head.gives), f"it gives {len(outputs)} outputs and names {head.gives}"
        for name, values in zip(head.gives, outputs, strict=True):
            assert values.shape == (_ROWS,), f"output '{name}' has shape {values.shape} for {_ROWS} rows"
            assert np.isfinite(values).all(), f"output '{name}' is not finite for every row"
        alone = [np.asarray(one) for one in head.finish(margin[:1], known)]
        _same("a row's output does not depend on the rows beside it", [one[0] for one in outputs], np.ravel(alone))


def _check_metrics(head: Head) -> None:
    for name in head.metrics:
        assert name in METRICS, f"early stopping has no metric '{name}'"
        assert METRICS[name][1] in head.gives, f"the metric '{name}' judges an output that it does not give"


def _same(law: str, expected: Any, actual: Any) -> None:
    difference = float(np.abs(np.asarray(expected) - np.asarray(actual)).max())
    assert difference <= _TOLERANCE, f"broken: {law}: {difference:.3g} apart"
