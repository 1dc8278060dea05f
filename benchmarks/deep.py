"""Deep components: speed of training input, time to score one row, memory of streaming.

    python benchmarks/deep.py [input] [one_row] [stream] [tables]

The network is the one of conf/model/deep_wide.yaml on generated rows. `input`: packed matrices gathered in TensorFlow
against `tf.data` slices of the same examples and the same network; variants take turns, so that a busy machine slows
each of them alike; a first epoch of each is not counted. `one_row`: the saved signature, from raw values to outputs,
against nothing but the network as a `tf.function`. `stream`: peak memory of a whole fit on a Parquet file and on one of
ten times the rows, each in a process of its own. `tables`: an epoch of training with a table of 1,000,000 rows over one
with 10,000, by optimiser; 1.2 is wanted of those that move single rows. Prints tables, and last one line of JSON:
medians over the rounds.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from proml_kedro.models.columns import ParquetRows
from proml_kedro.models.component import Columns, Examples, FitContext, Input
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.data import ExampleParts, PackedExamples
from proml_kedro.models.deep.devices import limit_tensorflow
from proml_kedro.models.deep.export import argument, export
from proml_kedro.models.deep.pack import pack
from proml_kedro.models.deep.trainer import Trainer, TrainingTask
from proml_kedro.spec import HardwareSpec

CONF = Path(__file__).parents[1] / "conf"
ROWS, ROUNDS, CALLS = 65_536, 5, 300
STREAMED, PART = 400_000, 200_000
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


def make_component(**training: Any) -> Deep:
    """The shipped component over those columns."""
    config = yaml.safe_load((CONF / "model" / "deep_wide.yaml").read_text())["components"]["tower"]
    config["training"] |= {"refit": False, "early_stopping": None, **training}
    return Deep(Deep.Spec.model_validate(config), inputs())


def inputs() -> list[Input]:
    """What the component reads."""
    numbers = [Input(f"x.n{number}", "float") for number in range(NUMBERS)]
    return [*numbers, *(Input(f"x.c{number}", "str") for number in range(len(SIZES)))]


def packed_epochs(component: Deep, data: PackedExamples) -> Callable[[], Any]:
    """An epoch as `kind: deep` trains it."""
    import tensorflow as tf

    fitted, training = component._fitted, component.spec.training
    task = TrainingTask(fitted.model, [(component._heads["head"], {})], training, 1, tf.distribute.get_strategy())
    trainer = Trainer(task, ExampleParts([data], [len(data)]))
    return lambda: trainer.epoch(0)


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


def by_column(component: Deep, data: PackedExamples) -> tuple[Any, Any]:
    """The same network with an input for each feature, and its examples: what one writes without packing."""
    import keras

    network = component._fitted.model
    matrices, columns, given = [], {}, {}
    for kind, matrix in (("numbers", data.numbers), ("ids", data.ids)):
        names = [f"{kind}{position}" for position in range(matrix.shape[1])]
        columns |= {name: matrix[:, [position]] for position, name in enumerate(names)}
        given |= {name: keras.Input((1,), dtype=str(matrix.dtype), name=name) for name in names}
        matrices.append(keras.ops.concatenate([given[name] for name in names], axis=1))
    return keras.Model(given, network(matrices)), (columns, data.labels)


def measure(run: Callable[[], Any]) -> tuple[float, float]:
    """Rows/s, and CPU seconds for 100,000 rows."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return ROWS / (time.perf_counter() - wall), (time.process_time() - cpu) * 1e5 / ROWS


def input_speed() -> dict[str, float]:
    """Training on packed matrices beside the usual ways."""
    import keras

    component = make_component(epochs=1)
    examples = make_examples(ROWS, 1)
    component.fit(examples, make_examples(1000, 2), FitContext(HardwareSpec(threads=1), seed=1))
    heads = list(component._heads.values())
    data = pack([examples], inputs(), heads, component._fitted.preprocess, ROWS, Path())[0]
    slices = (data.numbers, data.ids), data.labels
    model = component._fitted.model
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
    return figures


def one_row() -> dict[str, float]:
    """Time to score one row, by turns: from columns in Python, by the saved signature, by the bare network."""
    import tensorflow as tf

    component = make_component(epochs=1)
    component.fit(make_examples(8192, 1), make_examples(1000, 2), FitContext(HardwareSpec(threads=1), seed=1))
    columns: Columns = make_examples(1, 3).columns
    fitted = component._fitted
    numbers, ids = (tf.constant(one) for one in fitted.preprocess.encode(columns))
    bare = tf.function(lambda *matrices: fitted.model(list(matrices), training=False))
    with tempfile.TemporaryDirectory() as folder:
        export(fitted.scorer, Path(folder) / "saved_model")
        saved = tf.saved_model.load(f"{folder}/saved_model")  # the functions live as long as this
        signature = saved.signatures["serving_default"]
        values = {argument(name): tf.constant(value) for name, value in columns.items()}
        calls = {
            "bare": lambda: bare(numbers, ids),
            "saved_signature": lambda: signature(**values),
            "python": lambda: component.score(columns),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(CALLS + 20):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                times[name] += [time.perf_counter() - start] if number >= 20 else []
    figures = {f"one_row_{name}_us": statistics.median(one) * 1e6 for name, one in times.items()}
    figures["one_row_ratio"] = figures["one_row_saved_signature_us"] / figures["one_row_bare_us"]
    print("\n".join(f"{name:<28} {value:>10.1f}" for name, value in figures.items()))
    return figures


def write_table(file: Path, rows: int) -> None:
    """A Parquet file of a training set, written in parts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for number in range(rows // 100_000):
        part = make_examples(100_000, number)
        split = pa.array(["train"] * 99_000 + ["validation"] * 1000)
        table = pa.table({**part.columns, "label": part.label, "split": split})
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def stream_once(file: Path) -> None:
    """Fit on a table that is read in parts, and print the peak memory of this process in MB."""
    limit_tensorflow(1)
    train, validation = ParquetRows(file, "train"), ParquetRows(file, "validation")
    component = make_component(epochs=2, rows_in_memory=PART)
    sets = []
    for source in (train, validation):
        label = source.read([Input("label", "float")])["label"].astype(np.float32)
        sets.append(Examples({}, label, source=source))
    start, cpu = time.perf_counter(), time.process_time()
    component.fit(*sets, FitContext(HardwareSpec(threads=1), seed=1))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts = {"rows": len(train), "peak_mb": peak, "seconds": seconds, "cpu_s": time.process_time() - cpu}
    print(json.dumps(facts))


def stream() -> dict[str, float]:
    """Peak memory at one size and at ten times that."""
    figures: dict[str, float] = {}
    print(f"{'rows':>10} {'peak MB':>9} {'CPU s':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for times in (1, 10):
            file = Path(folder) / "table.parquet"
            write_table(file, STREAMED * times)
            command = [sys.executable, __file__, "stream_once", str(file)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            facts = json.loads(done.stdout.splitlines()[-1])
            print(f"{facts['rows']:>10,} {facts['peak_mb']:>9,.0f} {facts['cpu_s']:>8.1f}")
            figures |= {f"stream_{times}x_peak_mb": facts["peak_mb"], f"stream_{times}x_cpu_s": facts["cpu_s"]}
    figures["stream_peak_ratio"] = figures["stream_10x_peak_mb"] / figures["stream_1x_peak_mb"]
    return figures


def epoch_seconds(optimizer: str, bins: int) -> float:
    """CPU seconds of the third epoch of a small network over one category, whose hashes fall into a table's rows."""
    spec = Deep.Spec.model_validate(
        {
            "kind": "deep",
            "inputs": ["*"],
            "features": {"embed": 16, "hash": {"a.key": bins}},
            "graph": {"deep": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [16]}},
            "head": {"of": "deep"},
            "training": {"epochs": 3, "batch_size": 256, "optimizer": optimizer},
        }
    )
    generator = np.random.default_rng(0)
    keys = generator.integers(0, 10_000, 60_000).astype(str).astype(object)  # equally many rows are met in each table
    columns = {"a.key": keys, "a.x": generator.normal(size=60_000).astype(np.float32)}
    rows = Examples(columns, (generator.random(60_000) < 0.5).astype(float))
    seconds: list[float] = []
    epoch = Trainer.epoch

    def timed(trainer: Trainer, number: int) -> float:
        start = time.process_time()
        loss = epoch(trainer, number)
        seconds.append(time.process_time() - start)
        return loss

    Trainer.epoch = timed  # type: ignore[method-assign]
    try:
        fitted = Deep(spec, [Input("a.key", "str"), Input("a.x", "float")])
        fitted.fit(rows, rows.take(np.arange(1000)), FitContext(HardwareSpec(threads=1), 0, final=False))
    finally:
        Trainer.epoch = epoch  # type: ignore[method-assign]
    return seconds[-1]


def tables() -> dict[str, float]:
    """How much more a step costs with a large table."""
    found = {}
    for optimizer in ("adam", "lazy_adam", "adagrad"):
        small, large = (epoch_seconds(optimizer, bins) for bins in (10_000, 1_000_000))
        print(f"{optimizer:10} 10,000 rows {small:6.2f} s   1,000,000 rows {large:6.2f} s")
        found[f"{optimizer}_table_ratio"] = large / small
    return found


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    if arguments[:1] == ["stream_once"]:
        stream_once(Path(arguments[1]))
        return
    limit_tensorflow(1)
    parts = {"input": input_speed, "one_row": one_row, "stream": stream, "tables": tables}
    figures: dict[str, float] = {}
    for name in arguments or parts:
        figures |= parts[name]()
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
