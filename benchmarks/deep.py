"""Training a deep component: packed matrices gathered in TensorFlow against `tf.data` slices of the same examples.

    python benchmarks/deep.py

The network is the one of conf/model/deep_wide.yaml on generated rows. Variants take turns, so that a busy machine
slows each of them alike; a first epoch of each is not counted. Then the time to score one row. Prints a table, and
last one line of JSON: medians over the rounds, and ratios of rows/s to the plain `tf.data` variant.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from proml_kedro.hardware import limit_tensorflow
from proml_kedro.models.component import Columns, Examples, FitContext, Input
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.train import Packed, Trainer
from proml_kedro.spec import HardwareSpec

CONF = Path(__file__).parents[1] / "conf"
ROWS, ROUNDS, CALLS = 65_536, 5, 300
SIZES = (16, 3, 104, 35, 127)  # as many categories as the flights have
NUMBERS = 24


def make_examples(rows: int, seed: int) -> Examples:
    """Rows shaped like flights, with a label that depends on a number and a category."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        f"x.n{number}": generator.normal(size=rows).astype(np.float32) for number in range(NUMBERS)
    }
    for number, size in enumerate(SIZES):
        names = np.array([f"c{one}" for one in range(size)], dtype=object)
        columns[f"x.c{number}"] = names[generator.integers(size, size=rows)]
    margin = columns["x.n0"] + (columns["x.c0"] == "c1")
    label = generator.random(rows) < 1 / (1 + np.exp(-margin))
    return Examples(columns, label.astype(np.float32))


def make_component(epochs: int) -> Deep:
    """The shipped component over those columns."""
    config = yaml.safe_load((CONF / "model" / "deep_wide.yaml").read_text())["components"]["tower"]
    config["training"] |= {"epochs": epochs, "refit": False, "early_stopping": None}
    numbers = [Input(f"x.n{number}", "float") for number in range(NUMBERS)]
    categories = [Input(f"x.c{number}", "str") for number in range(len(SIZES))]
    return Deep(Deep.Spec.model_validate(config), [*numbers, *categories])


def packed_epochs(component: Deep, data: Packed) -> Callable[[], Any]:
    """An epoch as `kind: deep` trains it."""
    return Trainer(component._network.model, data, component.spec.training, seed=1).epoch


def fit_epochs(component: Deep, model: Any, examples: Any, steps: int) -> Callable[[], Any]:
    """An epoch of ``Model.fit`` on shuffled and batched slices."""
    import keras
    import tensorflow as tf

    training = component.spec.training
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(training.learning_rate), loss, steps_per_execution=steps)
    slices = tf.data.Dataset.from_tensor_slices(examples)
    batches = slices.shuffle(8192).batch(training.batch_size, drop_remainder=True).prefetch(2)
    return lambda: model.fit(batches, epochs=1, verbose=0)


def by_column(component: Deep, data: Packed) -> tuple[Any, Any]:
    """The same network with an input for each feature, and its examples: what one writes without packing."""
    import keras

    network = component._network.model
    matrices, columns, inputs = [], {}, {}
    for kind, matrix in (("numbers", data.numbers), ("ids", data.ids)):
        names = [f"{kind}{position}" for position in range(matrix.shape[1])]
        columns |= {name: matrix[:, [position]] for position, name in enumerate(names)}
        inputs |= {name: keras.Input((1,), dtype=str(matrix.dtype), name=name) for name in names}
        matrices.append(keras.ops.concatenate([inputs[name] for name in names], axis=1))
    return keras.Model(inputs, network(matrices)), (columns, data.label[:, None])


def measure(run: Callable[[], Any]) -> tuple[float, float]:
    """Rows/s, and CPU seconds for 100,000 rows."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return ROWS / (time.perf_counter() - wall), (time.process_time() - cpu) * 1e5 / ROWS


def microseconds(call: Callable[[], Any]) -> float:
    """Median time of a call."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def one_row(component: Deep, columns: Columns) -> dict[str, float]:
    """Time to score one row: from columns, from matrices, and by nothing but the traced network."""
    import tensorflow as tf

    network = component._network
    numbers, ids = network.encoder.numbers(columns), network.encoder.ids(columns)
    bare = tf.function(lambda *matrices: network.model(list(matrices), training=False))
    tensors = tf.constant(numbers), tf.constant(ids)
    bare(*tensors)
    return {
        "one_row_us": microseconds(lambda: component.score(columns)),
        "one_row_matrices_us": microseconds(lambda: network.scorer(numbers, ids)),
        "one_row_bare_us": microseconds(lambda: bare(*tensors)),
    }


def main() -> None:
    """Measure and print."""
    limit_tensorflow(1)
    import keras

    component = make_component(epochs=1)
    examples = make_examples(ROWS, 1)
    component.fit(examples, make_examples(1000, 2), FitContext(HardwareSpec(threads=1), seed=1))
    encoder = component._network.encoder
    data = Packed(encoder.numbers(examples.columns), encoder.ids(examples.columns), examples.label)
    slices = (data.numbers, data.ids), data.label[:, None]
    model = component._network.model
    variants = {
        "packed": packed_epochs(component, data),
        "slices": fit_epochs(component, *by_column(component, data), steps=1),
        "slices_of_packed": fit_epochs(component, keras.models.clone_model(model), slices, steps=1),
        "slices_of_packed_16_steps": fit_epochs(component, keras.models.clone_model(model), slices, steps=16),
    }
    for run in variants.values():
        run()
    rounds = [{name: measure(run) for name, run in variants.items()} for _ in range(ROUNDS)]
    figures: dict[str, float] = {}
    print(f"{'':<27} {'rows/s':>10} {'CPU s per 100k':>15} {'ratio':>7}")
    for name in variants:
        rows, cpu = (statistics.median(one[name][part] for one in rounds) for part in (0, 1))
        ratio = statistics.median(one[name][0] / one["slices"][0] for one in rounds)
        figures |= {f"{name}_rows_s": rows, f"{name}_cpu_s": cpu, f"{name}_ratio": ratio}
        print(f"{name:<27} {rows:>10,.0f} {cpu:>15.2f} {ratio:>7.2f}")
    figures |= one_row(component, {name: values[:1] for name, values in examples.columns.items()})
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
