"""What a fit needs is known before it reads a row, and what it takes stays near that."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.models.columns import ParquetRows, to_arrow
from proml_kedro.models.component import Examples, FitContext, Input, LazyColumns
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.kinds import component_of
from proml_kedro.models.linear import component as linear
from proml_kedro.models.xgboost import matrices
from proml_kedro.spec import HardwareSpec, ModelSpec
from proml_kedro.testing import INPUTS, make_examples

SPECS = {
    "xgboost": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 3},
    "linear": {"kind": "linear", "inputs": ["*"], "max_iterations": 3},
    "mixed": {
        "kind": "mixed",
        "inputs": ["*"],
        "fixed": ["*"],
        "random_effects": [{"entity": "CITY"}],
        "max_iterations": 4,
    },
    "deep": {
        "kind": "deep",
        "inputs": ["*"],
        "graph": {"body": {"block": "mlp", "of": ["embeddings", "numbers"], "units": [8]}},
        "head": {"of": ["body"]},
        "training": {"epochs": 1},
    },
}


@dataclass(frozen=True)
class Unread:
    """Rows that nobody may read."""

    rows: int
    precision: str = "float32"

    def __len__(self) -> int:
        return self.rows

    def batches(self, inputs: Any, rows: int) -> Any:
        raise AssertionError("read before it was checked")

    record_batches = batches


def unread(rows: int) -> Examples:
    source = Unread(rows)
    columns = LazyColumns([one.name for one in INPUTS], lambda: source.batches(INPUTS, rows))  # type: ignore[arg-type]
    return Examples(columns, np.zeros(rows), source=source)


def graph_of(kind: str, **more: Any) -> ModelGraph:
    spec = ModelSpec.model_validate({"name": "m", "components": {"one": {**SPECS[kind], **more}}, "score": "one"})
    return ModelGraph(spec, {one.name: one.dtype for one in INPUTS})


@pytest.mark.parametrize(("kind", "of_row"), [("xgboost", 3 * 6 + 50), ("linear", 3 * (4 + 12) + 64)])
def test_too_little_memory_is_said_before_a_row_is_read(kind: str, of_row: int) -> None:
    rows = 1_000_000
    least = f"{rows * of_row // 1_000_000}MB"
    too_little = HardwareSpec(threads=1, memory=f"{rows * of_row // 1_000_000 - 1}MB")
    with pytest.raises(UserError) as caught:
        graph_of(kind).fit(unread(rows - 10), unread(10), FitContext(too_little, 0))
    assert str(caught.value) == (
        f"hardware.memory: component 'one' needs at least {least} to learn from 1,000,000 rows of 3 inputs, "
        f"more than {too_little.memory}; write hardware.memory={least}"
    )
    with pytest.raises(AssertionError, match="read before it was checked"):  # what is proposed is enough
        graph_of(kind).fit(unread(rows - 10), unread(10), FitContext(HardwareSpec(threads=1, memory=least), 0))


def test_what_is_streamed_or_kept_on_disk_needs_less() -> None:
    def needed(kind: str, more: dict[str, Any], rows: int) -> int:
        made = component_of(kind)
        return made(made.Spec.model_validate({"kind": kind, **more}), INPUTS).memory_needed(rows, "float64")

    mixed = {"inputs": ["shop.price"], "random_effects": [{"entity": "shop.city"}]}
    assert needed("mixed", mixed, 4_000_000) == 4_000_000 * (180 + 20 + 3 * 4)
    assert needed("mixed", mixed, 6_000_000) == 0
    beyond = {**mixed, "fixed": ["shop.price"]}  # no feature of the effect, so that it cannot be streamed
    assert needed("mixed", beyond, 6_000_000) == 6_000_000 * (180 + 26 + 20 + 3 * 4)
    graph = {"wide": {"block": "linear", "of": ["categories", "numbers"]}}
    deep = {"inputs": ["*"], "graph": graph, "head": {"of": ["wide"]}, "training": {"rows_in_memory": 1000}}
    held = 2 * 4 * (2 * 2 + 1 + 1 + 3)  # two numbers with indicators, a category, a label, and what goes with it
    assert needed("deep", deep, 1000) == 1000 * (held + 100)
    assert needed("deep", deep, 5000) == 1000 * held + 5000 * 100
    assert needed("linear", {"inputs": ["*"]}, 1000) == 1000 * (3 * (8 + 12) + 64)
    assert needed("xgboost", {"inputs": ["*"]}, 1000) == 1000 * (3 * 6 + 50)


def stored(examples: Examples, file: Path) -> Examples:
    """The same examples, in a file that they can be read from in parts."""
    columns = {name: to_arrow(values) for name, values in examples.columns.items()}
    pq.write_table(pa.table({**columns, "split": ["train"] * len(examples)}), file, row_group_size=700)
    return replace(examples, source=ParquetRows(file, "train"))


@pytest.mark.parametrize("rows_of_a_part", [333, 1000])
def test_trees_of_what_is_read_in_parts_are_those_of_the_whole(tmp_path, monkeypatch, rows_of_a_part) -> None:
    """With fewer values than bins the quantiles are all of them, however they are read."""
    train, validation = make_examples(2000), make_examples(500, seed=1)
    for one in (train, validation):
        one.columns["shop.price"][:] = np.round(one.columns["shop.price"])
    weighted = replace(train, weight=np.random.default_rng(0).uniform(0.5, 2, 2000))
    kind = component_of("xgboost")
    spec = kind.Spec.model_validate({**SPECS["xgboost"], "num_boost_round": 10, "early_stopping_rounds": 5})
    context = FitContext(HardwareSpec(threads=1), 0)
    for examples in (train, weighted):
        whole, parts = kind(spec, INPUTS), kind(spec, INPUTS)
        with monkeypatch.context() as patch:
            patch.setattr(matrices, "PART", rows_of_a_part * 3 * 4)
            given = stored(examples, tmp_path / "train.parquet"), stored(validation, tmp_path / "validation.parquet")
            assert matrices.is_in_parts(given[0], INPUTS)
            parts.fit(*given, context)
        whole.fit(examples, validation, context)
        scores = [one.score(validation.columns)["margin"] for one in (whole, parts)]
        np.testing.assert_allclose(*scores, rtol=1e-5)
        assert whole._vocabularies["shop.city"].categories == parts._vocabularies["shop.city"].categories


def test_a_design_of_parts_is_the_whole_one(monkeypatch) -> None:
    kind = component_of("linear")
    examples, fits = make_examples(1000), []
    for rows in (1 << 19, 1000):
        monkeypatch.setattr(linear, "_PART", rows)
        fits.append(kind(kind.Spec.model_validate({"kind": "linear", "inputs": ["*"]}), INPUTS))
        fits[-1].fit(examples, examples.take(slice(0, 0)), FitContext(HardwareSpec(threads=1), 0))
    np.testing.assert_array_equal(*(one._coefficients for one in fits))
    one = fits[0]
    whole, row = one._design(examples.columns).toarray(), one._part_of_design(examples.columns).toarray()
    np.testing.assert_array_equal(whole, row)


FIT = """
import json, sys
from pathlib import Path
from test_memory import fit_one
print(json.dumps(fit_one(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
"""
COLUMNS = 40


def peak() -> int:
    """Most bytes that this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def made_of(kind: str, inputs: Sequence[Input]) -> Any:
    """A component over inputs, the last of which is its entity if it has effects of one."""
    made = component_of(kind)
    spec = dict(SPECS[kind])
    if "random_effects" in spec:
        spec["random_effects"] = [{"entity": inputs[-1].name}]
    return made(made.Spec.model_validate(spec), inputs)


def fit_one(kind: str, file: Path, rows: int) -> dict[str, int]:
    """Fit with exactly the memory that is said to be needed; return that, and what was held beyond the imports."""
    inputs = [Input(f"v.{number}", "float") for number in range(COLUMNS - 1)] + [Input("v.city", "str")]
    component, few = made_of(kind, inputs), make_examples(200)
    warmed = made_of(kind, INPUTS)  # imports what a fit imports
    warmed.fit(few, few, FitContext(HardwareSpec(threads=1), 0))
    before = peak()
    parts = [read(file, split, inputs) for split in ("train", "validation")]
    component.fit(*parts, FitContext(HardwareSpec(threads=1), 0))
    return {"needed": component.memory_needed(rows, "float32"), "held": peak() - before}


def read(file: Path, split: Any, inputs: list[Input]) -> Examples:
    """Read examples as a run does."""
    source = ParquetRows(file, split)
    label = source.read([Input("label", "float")])["label"].astype(float)
    return Examples(LazyColumns([one.name for one in inputs], lambda: source.read(inputs)), label, source=source)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(("kind", "rows"), [("xgboost", 1e6), ("linear", 1e6), ("mixed", 4e5), ("deep", 4e5)])
def test_a_fit_holds_what_it_is_said_to_need_and_300_mb(tmp_path: Path, kind: str, rows: float) -> None:
    rows, random = int(rows), np.random.default_rng(0)
    city = pa.array([f"a city of some length {number}" for number in range(500)])
    with pq.ParquetWriter(tmp_path / "rows.parquet", _schema()) as writer:
        for split in ("train", "train", "train", "train", "validation"):
            numbers = random.normal(size=(COLUMNS - 1, rows // 5)).astype(np.float32)
            columns = {f"v.{place}": values for place, values in enumerate(numbers)}
            columns |= {"v.city": city.take(pa.array(random.integers(0, 500, rows // 5)))}
            labels = (numbers[0] > 0).astype(float)
            writer.write_table(pa.table({**columns, "label": labels, "split": [split] * (rows // 5)}, _schema()))
    command = [sys.executable, "-c", FIT, kind, str(tmp_path / "rows.parquet"), str(rows)]
    folders = [Path(__file__).parent, *Path(__file__).parents[1:3]]
    environment = {"PYTHONPATH": ":".join(map(str, folders)), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["held"] < found["needed"] + 300_000_000, found


def _schema() -> pa.Schema:
    numbers = [(f"v.{number}", pa.float32()) for number in range(COLUMNS - 1)]
    return pa.schema([*numbers, ("v.city", pa.string()), ("label", pa.float64()), ("split", pa.string())])
