"""What a notebook waits for: a training set of the flights' size as Arrow, a feature search, a plot of a million rows.

    python benchmarks/notebook.py

The training set has 327,346 rows and 32 features of random numbers, and is read whole. Plots are of a label of 0 and 1
over 365 days, by a number and by a category, with intervals by day. Beside each stands a peer in the same run: Arrow's
own reader of the same file, and pandas' mean of buckets that are known already, without any interval.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.evaluation.sections import by_feature

ROWS, FEATURES, MANY, TURNS = 327_346, 32, 1_000_000, 5


def cpu(work: Callable[[], object]) -> float:
    """The least processor time of some turns."""
    taken = []
    for _ in range(TURNS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def training_set(folder: Path) -> dict[str, float]:
    """Read a training set by the notebook's face and by PyArrow."""
    from proml_kedro.notebook.training import TrainingSet

    generator = np.random.default_rng(0)
    columns = {f"view.feature_{one}": generator.normal(size=ROWS) for one in range(FEATURES)}
    file = folder / "training_set.parquet"
    pq.write_table(pa.table({"label": generator.integers(0, 2, ROWS), **columns}), file)
    made = TrainingSet.__new__(TrainingSet)
    made.path = file  # its facts, which are not read here, would come of a run
    ours, theirs = cpu(made.arrow), cpu(lambda: pq.read_table(file))
    return {"training set cpu s": ours, "training set ratio": ours / theirs}


def plots() -> dict[str, float]:
    """Draw the label's rate of a million rows."""
    generator = np.random.default_rng(1)
    values = generator.normal(size=MANY)
    names = np.array([f"n{one}" for one in range(30)], object)[generator.integers(0, 30, MANY)]
    label = (generator.random(MANY) < 1 / (1 + np.exp(-values))).astype(float)
    days = generator.integers(0, 365, MANY)
    figures = {}
    for what, column in (("numbers", values), ("categories", names)):
        ours = cpu(lambda column=column: by_feature("x", column, label, days, ("binary", 0.95)))
        frame = pd.DataFrame({"x": column, "y": label})
        part = pd.qcut(frame["x"], 10) if what == "numbers" else frame["x"]
        theirs = cpu(lambda frame=frame, part=part: frame.groupby(part, observed=True)["y"].mean())
        figures |= {f"plot of {what} cpu s": ours, f"plot of {what} ratio": ours / theirs}
    return figures


def search() -> dict[str, float]:
    """Search the features of this project, once the index is open."""
    import proml_kedro

    features = proml_kedro.open_project(Path(__file__).parents[1]).features
    features.search("delay")
    return {"search cpu ms": 1000 * cpu(lambda: features.search("delay last 3 hours"))}


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        figures = {**training_set(Path(folder)), **plots(), **search()}
    for name, value in figures.items():
        print(f"{name:<30} {value:8.3f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
