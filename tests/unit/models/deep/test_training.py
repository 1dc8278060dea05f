"""Training goes on where it was killed, in parts, with other labels, by schedule, and on several devices."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.models.columns import ParquetRows
from proml_kedro.models.component import FitContext
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.schedule import learning_rate
from proml_kedro.models.deep.training_spec import DeepTrainingSpec
from proml_kedro.spec import HardwareSpec
from proml_kedro.testing import INPUTS, make_examples

CONTEXT = FitContext(HardwareSpec(threads=1), seed=3, key="net")
HEAD = {"head": {"of": "deep"}}


def config(heads=HEAD, **training):
    return {
        "kind": "deep",
        "inputs": ["*"],
        "features": {"embed": 4},
        "graph": {
            "deep": {
                "block": "mlp",
                "of": ["numbers", "embeddings"],
                "units": [16, 8],
                "dropout": 0.2,
                "batch_norm": True,
            }
        },
        "training": {"epochs": 6, "batch_size": 64, "learning_rate": 0.02, **training},
        **heads,
    }


def fitted(made, train=None, check=None, context=CONTEXT, inputs=INPUTS):
    component = Deep(Deep.Spec.model_validate(made), inputs)
    component.fit(train or make_examples(600, 1), check or make_examples(200, 2), context)
    return component


def margin(component):
    return component.score(make_examples(100, 9).columns)["margin"]


@cache
def plain_margin(**training):
    """The margins of the plain network, trained without interruption; several tests compare with it."""
    return margin(fitted(config(**training)))


KILLED = """
import json, os, signal, sys
from pathlib import Path
from dataclasses import replace
sys.path.insert(0, sys.argv[1])
from test_training import CONTEXT, fitted
from proml_kedro.models.deep.trainer import Trainer

whole_epoch = Trainer.epoch

def epoch(self, number):
    loss = whole_epoch(self, number)
    if number == 3:  # after its steps, before anything of it is kept
        os.kill(os.getpid(), signal.SIGKILL)
    return loss

Trainer.epoch = epoch
fitted(json.loads(sys.argv[2]), context=replace(CONTEXT, checkpoints=Path(sys.argv[3])))
"""


@pytest.mark.slow
def test_training_goes_on_after_a_kill_as_if_nothing_had_happened(tmp_path, caplog):
    made = config(early_stopping={"metric": "auc", "patience": 6}, refit=True, weight_decay=0.01)
    here = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", KILLED, here, json.dumps(made), str(tmp_path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (tmp_path / "checkpoint.npz").is_file()
    with caplog.at_level("INFO"):
        resumed = fitted(made, context=replace(CONTEXT, checkpoints=tmp_path))
    assert "goes on after epoch 3" in caplog.text
    assert margin(resumed) == pytest.approx(margin(fitted(made)), abs=1e-5)
    again = fitted(made, context=replace(CONTEXT, checkpoints=tmp_path))  # killed after training, before it was saved
    assert margin(again) == pytest.approx(margin(resumed), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [pytest.param(b"", id="empty"), pytest.param(b"PK half a file", id="half")])
def test_a_checkpoint_of_something_else_is_not_taken_up(tmp_path, damage, caplog):
    context = replace(CONTEXT, checkpoints=tmp_path)
    fitted(config(), context=context)
    other = config(epochs=3)
    assert margin(fitted(other, context=context)) == pytest.approx(plain_margin(epochs=3), abs=1e-6)
    (tmp_path / "checkpoint.npz").write_bytes(damage)
    assert margin(fitted(other, context=context)) == pytest.approx(plain_margin(epochs=3), abs=1e-6)
    assert "checkpoint.npz cannot be read; training starts anew" in caplog.text


def in_parquet(file, examples, split):
    columns = {name: pa.array(values, from_pandas=True) for name, values in examples.columns.items()}
    pq.write_table(pa.table({**columns, "split": [split] * len(examples)}), file, row_group_size=100)
    return replace(examples, columns={}, source=ParquetRows(file, split))


@pytest.mark.slow
def test_a_table_that_is_read_at_once_trains_the_same(tmp_path):
    train = in_parquet(tmp_path / "train.parquet", make_examples(2000, 1), "train")
    check = in_parquet(tmp_path / "check.parquet", make_examples(300, 2), "validation")
    early = config(early_stopping={"metric": "auc", "patience": 6})
    expected = margin(fitted(early, make_examples(2000, 1), make_examples(300, 2)))
    assert margin(fitted(early, train, check)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_a_table_that_is_read_in_parts_trains_as_well(tmp_path):
    train = in_parquet(tmp_path / "train.parquet", make_examples(2000, 1), "train")
    check = in_parquet(tmp_path / "check.parquet", make_examples(300, 2), "validation")
    early = {"metric": "auc", "patience": 6}
    together = margin(fitted(config(early_stopping=early), make_examples(2000, 1), check))
    context = replace(CONTEXT, checkpoints=tmp_path / "kept")
    parts = fitted(config(rows_in_memory=450, early_stopping=early, refit=True), train, check, context)
    assert not list(tmp_path.glob("kept/**/parts"))
    fresh = make_examples(1000, 9)
    probability = parts.score(fresh.columns)["probability"]
    assert np.corrcoef(margin(parts), together)[0, 1] > 0.9
    assert probability[fresh.label == 1].mean() > probability[fresh.label == 0].mean() + 0.2


@pytest.mark.parametrize("schedule", ["cosine", "linear", "exponential"])
def test_a_learning_rate_rises_and_falls(schedule):
    rate = {"schedule": schedule, "start": 0.1, "end": 0.001, "warmup": 2}
    spec = DeepTrainingSpec(epochs=10, learning_rate=rate)
    rates = [learning_rate(spec, progress) for progress in (0.5, 1, 2, 4, 6, 8, 10, 20)]
    assert rates[0] == pytest.approx(0.025)
    assert rates[2] == pytest.approx(0.1)
    assert rates[:3] == sorted(rates[:3])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-2:] == pytest.approx([0.001, 0.001])


def test_curves_are_written_as_tensorboard_reads_them(tmp_path):
    from tensorflow.compat.v1.train import summary_iterator

    rate = {"schedule": "linear", "start": 0.02, "end": 0.01}
    made = config(epochs=3, tensorboard=str(tmp_path / "logs"), learning_rate=rate, early_stopping={"patience": 9})
    fitted(made)
    (file,) = (tmp_path / "logs").iterdir()
    points = [(event.step, value.tag) for event in summary_iterator(str(file)) for value in event.summary.value]
    assert sorted(points) == [(s, tag) for s in (1, 2, 3) for tag in ("learning_rate", "loss", "validation")]


def test_a_terminal_shows_a_line_for_each_epoch(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    short = config(epochs=3, early_stopping={"metric": "auc", "patience": 3})
    fitted(short)
    lines = re.findall(r"epoch \d of 3: loss [\d.]+, validation auc 0\.\d+(?: \(best\))?", capsys.readouterr().err)
    assert [line[:12] for line in lines] == ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]
    assert lines[0].endswith("(best)")
    monkeypatch.undo()
    fitted(short)
    assert not capsys.readouterr().err


def with_labels(rows, seed):
    """A second label, known for a third of the rows, and lists of five."""
    examples = make_examples(rows, seed)
    price = np.nan_to_num(examples.columns["shop.price"], nan=20)
    price[::3], price[1::3] = np.nan, np.nan
    return replace(examples, labels={"price": price.astype(np.float32)}, group=np.arange(rows, dtype=np.int64) // 5)


HEADS = {
    "heads": {
        "sale": {"of": "deep"},
        "price": {"of": "deep", "loss": "huber", "label": "price", "weight": 0.5},
        "order": {"of": "deep", "loss": "listwise"},
    },
    "expose": {"city": "shop.city", "hidden": "deep"},
}


@pytest.mark.slow
def test_models_fitted_in_threads_are_those_fitted_one_after_the_other():
    other = replace(CONTEXT, seed=8)
    with ThreadPoolExecutor(2) as threads:
        both = threads.map(lambda context: margin(fitted(config(), context=context)), (CONTEXT, other))
    for found, expected in zip(both, (plain_margin(), margin(fitted(config(), context=other))), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_several_heads_learn_their_own_labels():
    made = config(HEADS, epochs=20, early_stopping={"metric": "sale.logloss", "patience": 20})
    component = fitted(made, with_labels(1500, 1), with_labels(300, 2))
    fresh = with_labels(500, 3)
    found = component.score(fresh.columns)
    assert set(found) == set(component.spec.output_names("binary"))
    known = ~np.isnan(fresh.columns["shop.price"])
    assert np.corrcoef(found["price_mean"][known], fresh.columns["shop.price"][known])[0, 1] > 0.8
    for name in ("probability", "order_probability"):
        assert found[name].mean() == pytest.approx(fresh.label.mean(), abs=0.1)
        assert found[name][fresh.label == 1].mean() > found[name][fresh.label == 0].mean() + 0.15
    assert found["hidden_7"].shape == found["city_3"].shape == (500,)
    cities = fresh.columns["shop.city"]
    assert len(np.unique(found["city_0"][cities == "Lima"])) == 1


def test_a_weight_of_2_is_the_row_twice():
    """One batch of all rows, so that only the loss, what is learned of inputs and the start can differ."""
    made = config({"heads": HEADS["heads"] | {"order": {"of": "deep", "loss": "pairwise"}}}, epochs=5, batch_size=5000)
    made["graph"]["deep"] |= {"dropout": 0.0, "batch_norm": False}
    made["features"]["unknown"] = 0.0  # what is hidden is drawn row by row
    plain, check = with_labels(300, 1), with_labels(200, 2)
    counts, watched = np.resize(np.repeat([1, 2, 3], 5), 300), np.resize(np.repeat([3, 1], 5), 200)

    def repeated(one, times):
        rows = np.concatenate([np.flatnonzero(times > copy) for copy in range(3)])
        copies = np.repeat(np.arange(3), [(times > copy).sum() for copy in range(3)])
        return replace(one.take(rows), group=one.group[rows] * 3 + copies)

    weighted = [replace(one, weight=times.astype(float)) for one, times in ((plain, counts), (check, watched))]
    heavy = fitted(made, *weighted)
    twice = fitted(made, repeated(plain, counts), repeated(check, watched))
    fresh = make_examples(100, 9).columns
    for name, values in twice.score(fresh).items():
        assert heavy.score(fresh)[name] == pytest.approx(values, abs=2e-3), name


def numpy_adam(weights, gradients, steps, rate=0.02):
    """Adam of Kingma and Ba, Algorithm 1, with the gradients of whole tables."""
    weights = [one.astype(np.float64) for one in weights]
    means, squares = ([np.zeros_like(one) for one in weights] for _ in range(2))
    for step in range(1, steps + 1):
        for at, gradient in enumerate(gradients(weights)):
            means[at] += 0.1 * (gradient - means[at])
            squares[at] += 0.001 * (gradient**2 - squares[at])
            alpha = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights[at] = weights[at] - alpha * means[at] / (np.sqrt(squares[at]) + 1e-7)
    return weights


def numpy_adagrad(weights, gradients, steps, rate=0.02):
    """Adagrad of Duchi, Hazan and Singer; a table has one sum a row."""
    weights = [one.astype(np.float64) for one in weights]
    sums = [np.full_like(one[:, :1] if one.ndim == 2 else one, 0.1) for one in weights]
    for _ in range(steps):
        for at, gradient in enumerate(gradients(weights)):
            sums[at] += np.mean(gradient**2, axis=1, keepdims=True) if gradient.ndim == 2 else gradient**2
            weights[at] = weights[at] - rate * gradient / (np.sqrt(sums[at]) + 1e-7)
    return weights


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        ("adam", numpy_adam),
        pytest.param("lazy_adam", numpy_adam, marks=pytest.mark.slow),  # all rows are met in each step
        pytest.param("adagrad", numpy_adagrad, marks=pytest.mark.slow),
    ],
)
def test_a_category_moves_by_its_summed_gradient_like_that_of_numpy(optimizer, reference):
    """One batch of all rows, in which a category is hundreds of times; the table is embedded, then weighed."""
    training = {"epochs": 5, "batch_size": 5000, "learning_rate": 1e-30, "optimizer": optimizer}
    made = config({"head": {"of": "embeddings"}}, **training)
    made["features"]["unknown"] = 0.0
    made |= {"graph": {"wide": {"block": "linear", "of": "categories"}}, "head": {"of": ["embeddings", "wide"]}}
    city = [one for one in INPUTS if one.name == "shop.city"]
    train = make_examples(900, 1)
    start = fitted(made, train, inputs=city)._fitted.model
    made["training"]["learning_rate"] = 0.02
    found = fitted(made, train, inputs=city)
    of = [one.path.split("/")[0] for one in start.weights]
    known = found._fitted.statistics.vocabularies["shop.city"]
    ids = np.array([2 + known.index(one) if one else 0 for one in train.columns["shop.city"]])
    assert np.bincount(ids).max() > 100

    def gradients(weights):
        table, wide, dense, bias = (
            weights[of.index(one)] for one in ("embeddings4", "wide_table0", "head_dense", "head_bias")
        )
        margin = table[ids] @ dense + wide[ids] + bias
        loss = (1 / (1 + np.exp(-margin)) - train.label[:, None]) / len(ids)
        sums = {"embeddings4": np.zeros_like(table), "wide_table0": np.zeros_like(wide)}
        np.add.at(sums["embeddings4"], ids, loss @ dense.T)
        np.add.at(sums["wide_table0"], ids, loss)
        sums |= {"head_dense": table[ids].T @ loss, "head_bias": loss.sum(axis=0)}
        return [sums[one] for one in of]

    expected = reference(start.get_weights(), gradients, 5)
    for name, one, other in zip(of, found._fitted.model.get_weights(), expected, strict=True):
        assert one == pytest.approx(other, abs=2e-5), name


def test_an_input_with_one_value_is_named(caplog):
    examples = make_examples(300, 1)
    train = replace(examples, columns=dict(examples.columns) | {"shop.visits": np.full(300, 3.0)})
    fitted(config(epochs=1), train)
    assert "net: shop.visits: after preprocessing, one value in all training examples" in caplog.text
    caplog.clear()
    fitted(config(epochs=1), examples)
    assert "one value" not in caplog.text


def test_the_rate_of_a_schedule_is_that_of_each_step():
    with pytest.raises(ValueError, match="warmup, 50, has to be less than epochs, 2"):
        DeepTrainingSpec(epochs=2, learning_rate={"schedule": "cosine", "start": 0.1, "warmup": 50})
    with pytest.raises(ValueError, match=r"end, 0.2, is above start, 0.1"):
        DeepTrainingSpec(epochs=2, learning_rate={"schedule": "cosine", "start": 0.1, "end": 0.2})
    slow = {"schedule": "linear", "start": 0.02, "end": 0.02, "warmup": 1}
    warmed = margin(fitted(config(epochs=2, batch_size=100, learning_rate=slow)))
    assert np.abs(warmed - plain_margin(epochs=2)).max() > 1e-3


def test_a_weight_counts_as_often_as_rows():
    made = config({"head": {"of": "wide"}}, epochs=30)
    made["graph"] = {"wide": {"block": "linear", "of": ["categories", "numbers"]}}
    plain = make_examples(400, 1)
    heavy = replace(plain, weight=np.where(plain.label == 1, 9.0, 1.0).astype(np.float32))
    low, high = (fitted(made, one).score(plain.columns)["probability"].mean() for one in (plain, heavy))
    assert high > low + 0.2


@pytest.mark.parametrize(
    ("head", "label", "message"),
    [
        ({"loss": "binary", "label": "price"}, 7.5, "net.head.loss: the label price is not a truth value"),
        ({"loss": "poisson", "label": "price"}, -1, "net.head.loss: the label price is not a count"),
        (
            {"loss": "poisson", "label": "price"},
            [2**30, 2**30 + 1],
            "'poisson' would learn labels rounded",
        ),
        ({"loss": "squared", "label": "price"}, np.nan, "net.head.label: no row of the training period has this label"),
    ],
)
def test_a_label_that_does_not_fit_is_one_line(head, label, message):
    examples = replace(make_examples(50, 1), labels={"price": np.resize(np.array(label, np.float64), 50)})
    with pytest.raises(UserError, match=message) as caught:
        fitted(config({"head": {"of": "deep", **head}}), examples, examples)
    assert "\n" not in str(caught.value)


def test_numbers_far_from_0_are_learned_and_a_refit_starts_from_the_mean_of_both_periods():
    train, check = make_examples(600, 1, task="regression"), make_examples(600, 2, task="regression")
    train, check = replace(train, label=train.label + 1.7e9), replace(check, label=check.label + 1.7e9 + 1000)
    context = replace(CONTEXT, task="regression")
    head = {"head": {"of": "deep", "loss": "squared"}}
    once = fitted(config(head, early_stopping={"patience": 3}, refit=False), train, check, context)
    both = fitted(config(head, early_stopping={"patience": 3}, refit=True), train, check, context)
    first, second = (one.score(train.columns)["mean"] for one in (once, both))
    assert first.mean() == pytest.approx(train.label.mean(), abs=0.5)
    assert np.corrcoef(first - 1.7e9, train.label - 1.7e9)[0, 1] > 0.5
    assert second.mean() == pytest.approx((train.label.mean() + check.label.mean()) / 2, abs=100)


DEVICES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_training import fitted, config, margin, FitContext, HardwareSpec, HEADS, with_labels
import numpy as np
hardware = HardwareSpec(threads=1, device="multi_gpu", devices=2, allow_cpu=True)
made = config(epochs=2)
made["graph"]["deep"] |= {"dropout": 0.0, "batch_norm": False}
component = fitted(made, context=FitContext(hardware, seed=3))
import tensorflow as tf
several = config(HEADS, epochs=1)
more = fitted(several, with_labels(300, 1), with_labels(100, 2), FitContext(hardware, seed=3))
assert np.isfinite(list(more.score(with_labels(9, 3).columns).values())).all()
print(json.dumps([len(tf.config.list_logical_devices("CPU")), margin(component).tolist()]))
"""


@pytest.mark.slow
def test_several_devices_train_the_same_network():
    here = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", DEVICES, here], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    devices, found = json.loads(done.stdout.splitlines()[-1])
    assert devices == 2
    made = config(epochs=2)
    made["graph"]["deep"] |= {"dropout": 0.0, "batch_norm": False}
    assert found == pytest.approx(margin(fitted(made)).tolist(), abs=1e-3)


def test_mixed_precision_trains_nearly_the_same_network():
    mixed = fitted(config(epochs=3), context=replace(CONTEXT, hardware=HardwareSpec(threads=1, mixed_precision=True)))
    assert np.corrcoef(margin(mixed), plain_margin(epochs=3))[0, 1] > 0.95
    assert {one.dtype for one in mixed._fitted.model.weights} == {"float32"}
