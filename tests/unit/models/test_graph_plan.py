"""The plan of a model: typed outputs, components that do not learn, rows that are read in batches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.extensions import components
from proml_kedro.models.columns import ParquetRows, read_columns
from proml_kedro.models.component import Component, Examples, FitContext, Input, LazyColumns
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.graph.plan import Plan
from proml_kedro.models.graph.score import InProcess, PlannedRows
from proml_kedro.spec import HardwareSpec, ModelSpec
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.run import RunSpec, check
from small import make_config

DTYPES = {"m.vector": "vector[3]", "j.vector": "vector[3]", "j.pay": "float", "j.town": "str", "member": "str"}
COMPONENTS = {
    "final": {"kind": "logistic", "inputs": ["match", "level", "trees.margin", "j.town"]},
    "match": {"kind": "cosine_similarity", "of": ["m.vector", "j.vector"]},
    "level": {"kind": "bucketize", "of": "j.pay", "bounds": [0, 1]},
    "trees": {"kind": "xgboost", "inputs": ["match.value", "j.pay"], "num_boost_round": 10},
}
CONTEXT = FitContext(HardwareSpec(threads=1), seed=3)


def spec_of(components=COMPONENTS, score="final"):
    return ModelSpec(name="m", components=components, score=score)


def make_columns(rows, seed=0):
    generator = np.random.default_rng(seed)
    columns = {name: generator.normal(size=(rows, 3)).astype(np.float32) for name in ("m.vector", "j.vector")}
    columns["m.vector"][::7] = np.nan
    columns["j.pay"] = generator.normal(size=rows).astype(np.float32)
    columns["j.pay"][::11] = np.nan
    columns["j.town"] = generator.choice(np.array(["Bern", "Lima", None], object), rows)
    columns["member"] = generator.choice(np.array([f"m{one}" for one in range(50)], object), rows)
    return columns


def write(file, rows, seed=0):
    """A training set whose label depends on whether the vectors are alike."""
    columns = make_columns(rows, seed)
    alike = np.nan_to_num((columns["m.vector"] * columns["j.vector"]).sum(axis=1))
    label = (np.random.default_rng(seed + 1).random(rows) < 1 / (1 + np.exp(-2 * alike))).astype(np.float32)
    table = {
        name: pa.array([None if np.isnan(one).any() else one.tolist() for one in values]) if values.ndim > 1 else values
        for name, values in columns.items()
    }
    table["j.pay"] = pa.array(columns["j.pay"], from_pandas=True)
    pq.write_table(pa.table({**table, "label": label, "split": ["train"] * rows}), file, row_group_size=700)
    return file


def examples_of(file, inputs):
    source = ParquetRows(file, "train")
    label = source.read([Input("label", "float")])["label"]
    return Examples(LazyColumns([one.name for one in inputs], lambda: source.read(inputs)), label, source=source)


def test_outputs_have_types_and_steps_come_after_what_they_read():
    plan = Plan.of(spec_of(), DTYPES, "binary")
    assert [step.component for step in plan.steps].index("trees") > [step.component for step in plan.steps].index(
        "match"
    )
    assert plan.steps[-1].component == "final"
    assert {one.name: one.dtype for one in plan.step("final").reads} == {
        "match.value": "float",
        "level.value": "str",
        "trees.margin": "float",
        "j.town": "str",
    }
    assert [one.name for one in plan.inputs] == ["j.town", "m.vector", "j.vector", "j.pay"]
    assert [step.learns for step in plan.steps if step.component in ("match", "level")] == [False, False]
    assert not plan.is_learned_from("final")
    assert plan.is_learned_from("match")


def test_a_plan_survives_json():
    plan = Plan.of(spec_of(), DTYPES, "binary")
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_only_the_steps_that_are_needed_are_run():
    plan = Plan.of(spec_of(), DTYPES, "binary")
    assert [one.component for one in plan.until(["trees.margin"]).steps] == ["match", "trees"]
    assert [one.name for one in plan.until(["trees.margin"]).inputs] == ["m.vector", "j.vector", "j.pay"]
    assert [one.component for one in plan.until(["trees.margin"], known=["match.value"]).steps] == ["trees"]
    assert plan.until(["j.pay"]).steps == ()


class SpySpec(ComponentSpec):
    takes_vectors = True


class Spy(Component):
    """Remembers what it was given."""

    Spec = SpySpec
    seen: list[Examples] = []

    def fit(self, train, validation, context):
        type(self).seen.append(train)

    def score(self, columns):
        rows = len(next(iter(columns.values())))
        return {"margin": np.arange(rows, dtype=float), "probability": np.full(rows, 0.5)}

    def save(self, folder):
        pass

    @classmethod
    def load(cls, spec, inputs, folder):
        return cls(spec, inputs)


@pytest.fixture
def spy():
    Spy.seen = []
    with components.temporary("spy", Spy):
        yield Spy


def test_a_component_that_does_not_learn_is_neither_fitted_nor_cross_fitted(spy, tmp_path, monkeypatch):
    from proml_kedro.models.producers.component import Computed

    monkeypatch.setattr(Computed, "fit", lambda *arguments: pytest.fail("it was fitted"))
    graph = ModelGraph(
        spec_of({"match": COMPONENTS["match"], "spy": {"kind": "spy", "inputs": ["match"]}}, "spy"), DTYPES
    )
    train = examples_of(write(tmp_path / "rows.parquet", 1000), graph.inputs)
    graph.fit(train, train, CONTEXT)
    assert len(spy.seen) == 1
    assert len(spy.seen[0]) == 1000


@pytest.mark.parametrize("rows", [100, 333, 5000])
def test_the_source_survives_components_in_front(spy, tmp_path, rows):
    """Learned outputs come from memory, in the order of the rows; those of producers are computed batch by batch."""
    inputs = ["match.value", "level.value", "first.margin", "j.town", "m.vector"]
    first = {"kind": "spy", "inputs": ["j.pay"]}
    graph = ModelGraph(spec_of({**COMPONENTS, "first": first, "spy": {"kind": "spy", "inputs": inputs}}, "spy"), DTYPES)
    train = examples_of(write(tmp_path / "rows.parquet", 2000), graph.inputs)
    graph.fit(train, train, CONTEXT)
    seen = spy.seen[-1]
    assert isinstance(seen.source, PlannedRows)
    assert len(seen.source) == 2000
    reads = graph.components["spy"].inputs
    batches = list(seen.source.batches(reads, rows))
    assert max(len(batch["match.value"]) for batch in batches) <= rows
    arrow = pa.Table.from_batches(seen.source.record_batches([one.name for one in reads], rows))
    for one in reads:
        whole = seen.columns[one.name]
        joined = np.concatenate([batch[one.name] for batch in batches])
        if one.dtype == "str":
            assert joined.tolist() == whole.tolist() == arrow[one.name].to_pylist()
        else:
            np.testing.assert_array_equal(joined, whole)
            assert (
                arrow[one.name].null_count == (np.isnan(whole).any(axis=1) if whole.ndim > 1 else np.isnan(whole)).sum()
            )
    alone = list(seen.source.batches([Input("first.margin", "float")], rows))
    np.testing.assert_array_equal(np.concatenate([one["first.margin"] for one in alone]), seen.columns["first.margin"])


def test_nothing_is_read_into_memory_for_a_component_that_streams(spy, tmp_path):
    graph = ModelGraph(
        spec_of({"match": COMPONENTS["match"], "spy": {"kind": "spy", "inputs": ["match"]}}, "spy"), DTYPES
    )
    file = write(tmp_path / "rows.parquet", 500)
    train = examples_of(file, graph.inputs)
    lazy = LazyColumns([one.name for one in graph.inputs], lambda: pytest.fail("all rows were read"))
    graph.fit(Examples(lazy, train.label, source=train.source), train, CONTEXT)
    values = [one["match.value"] for one in spy.seen[0].source.batches([Input("match.value", "float")], 200)]
    assert sum(map(len, values)) == 500


def test_a_model_behind_producers_learns_and_comes_back(tmp_path):
    graph = ModelGraph(spec_of(), DTYPES)
    train, check = (examples_of(write(tmp_path / f"{seed}.parquet", 1500, seed), graph.inputs) for seed in (1, 2))
    graph.fit(train, check, CONTEXT)
    fresh = make_columns(400, seed=5)
    scores = graph.score(fresh)
    alike = np.nan_to_num((fresh["m.vector"] * fresh["j.vector"]).sum(axis=1))
    assert np.corrcoef(scores, alike)[0, 1] > 0.5
    graph.save(tmp_path / "saved")
    assert sorted(one.name for one in (tmp_path / "saved").iterdir()) == ["final", "trees"]
    assert set(graph.summary()) == {"final", "trees"}
    loaded = ModelGraph.load(graph.spec, DTYPES, tmp_path / "saved")
    np.testing.assert_allclose(loaded.score(fresh), scores, atol=1e-9)
    file = write(tmp_path / "scored.parquet", 1500, seed=9)
    whole = loaded.score(read_columns(file, loaded.inputs))
    np.testing.assert_allclose(loaded.score_rows(ParquetRows(file, "train")), whole, atol=1e-9)


def test_a_mixed_model_is_streamed_behind_a_producer(tmp_path, caplog):
    mixed = {
        "kind": "mixed",
        "inputs": ["member", "match"],
        "fixed": ["match.value"],
        "random_effects": [{"entity": "member", "features": ["intercept", "match.value"]}],
        "engine": "streamed",
        "refit": False,
    }
    graph = ModelGraph(spec_of({"match": COMPONENTS["match"], "final": mixed}), DTYPES)
    train = examples_of(write(tmp_path / "rows.parquet", 3000), graph.inputs)
    whole = LazyColumns([one.name for one in graph.inputs], lambda: pytest.fail("all rows were read"))
    with caplog.at_level("INFO"):
        graph.fit(Examples(whole, train.label, source=train.source), train, CONTEXT)
    assert "rows are streamed from disk" in caplog.text
    fresh = make_columns(500, seed=5)
    alike = graph.outputs(fresh)["match.value"]
    assert np.corrcoef(graph.score(fresh), np.nan_to_num(alike))[0, 1] > 0.9


def mistakes_of(components, score="trees"):
    config = make_config({"trees": {"kind": "xgboost", "inputs": ["*"]}})
    config["model"].update(components={"trees": {"kind": "xgboost", "inputs": ["*"]}, **components}, score=score)
    config["features"]["made"] = {
        "key": "shop",
        "source": {"table": "shops"},
        "features": {"taste": {"dtype": "vector[3]"}, "style": {"dtype": "vector[4]"}},
    }
    return [str(one) for one in check(RunSpec.model_validate(config))]


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (
            {"kind": "cosine_similarity", "of": ["made.taste", "made.style"]},
            "of: 'cosine_similarity' needs vectors of one size: 'made.taste' is a vector[3] and 'made.style' is a "
            "vector[4]",
        ),
        ({"kind": "cosine_similarity", "of": "made.taste"}, "of: 'cosine_similarity' is a function of 2, not of 1"),
        (
            {"kind": "ratio", "of": ["visit.price", "made.taste"]},
            "of.1: 'made.taste' is a vector[3], which kind 'ratio' cannot read; leave it out, make a number of it with "
            "an on-demand feature such as cosine_similarity(a, b), or give it to kind 'deep'",
        ),
        (
            {"kind": "ratio", "of": ["visit.city", "visit.price"]},
            "of.0: 'visit.city' is a category, which kind 'ratio' cannot read; leave it out",
        ),
        (
            {"kind": "cosine_similarity", "of": ["visit.price", "made.taste"]},
            "of.0: 'visit.price' is a float, which kind 'cosine_similarity' cannot read; leave it out",
        ),
        ({"kind": "ratio", "of": ["visit.prise", "visit.items"]}, "of.0: no feature or output 'visit.prise'."),
        (
            {"kind": "logistic", "inputs": ["made.taste"]},
            "inputs.0: 'made.taste' is a vector[3], which kind 'logistic'",
        ),
    ],
)
def test_what_a_component_cannot_read_is_one_line_before_training(component, message):
    (line, *rest) = mistakes_of({"own": component})
    assert line.startswith(f"model.components.own.{message}")
    assert not [one for one in rest if "is a function of" not in one]


def test_an_output_of_a_type_that_the_reader_cannot_take_is_refused():
    level = {"kind": "bucketize", "of": "visit.price", "bounds": [10, 20]}
    (line,) = mistakes_of({"level": level, "own": {"kind": "ratio", "of": ["level", "visit.items"]}})
    assert line.startswith("model.components.own.of.0: 'level.value' is a category, which kind 'ratio' cannot read")


def test_a_vector_between_components_is_left_out_by_a_pattern_and_refused_by_name():
    class TowerSpec(ComponentSpec):
        def outputs(self, task):
            return (Output("margin"), Output("vector", "vector[3]"))

    with components.temporary("tower", TowerSpec):
        tower = {"tower": {"kind": "tower", "inputs": ["visit.price"]}}
        assert not mistakes_of({**tower, "own": {"kind": "logistic", "inputs": ["tower.*"]}})
        (line,) = mistakes_of({**tower, "own": {"kind": "logistic", "inputs": ["tower.margin", "tower.vector"]}})
        assert line.startswith("model.components.own.inputs.1: 'tower.vector' is a vector[3], which kind 'logistic'")
        alike = {"kind": "cosine_similarity", "of": ["tower.vector", "made.taste"]}
        assert not mistakes_of({**tower, "alike": alike, "own": {"kind": "logistic", "inputs": ["alike"]}})


def test_the_name_of_a_component_with_several_outputs_says_too_little():
    (line,) = mistakes_of({"own": {"kind": "logistic", "inputs": ["trees"]}})
    assert line.startswith("model.components.own.inputs.0: no feature or output 'trees'.")


def test_a_producer_is_no_score():
    (line,) = mistakes_of({"own": {"kind": "ratio", "of": ["visit.price", "visit.items"]}}, score="own")
    assert line == "model.score: 'own' has no output 'probability' to be the model's score"
    with pytest.raises(UserError, match="'match' gives no probability"):
        Plan.of(spec_of({"match": COMPONENTS["match"]}, "match"), DTYPES, "binary")


def test_steps_run_elsewhere_give_the_same_score(tmp_path):
    """An executor that passes columns on as plain values, as one over HTTP would."""
    graph = ModelGraph(spec_of(), DTYPES)
    train = examples_of(write(tmp_path / "rows.parquet", 1000), graph.inputs)
    graph.fit(train, train, CONTEXT)

    class Elsewhere(InProcess):
        def run(self, step, columns):
            sent = json.loads(json.dumps({name: (str(one.dtype), one.tolist()) for name, one in columns.items()}))
            return super().run(step, {name: np.array(values, kind) for name, (kind, values) in sent.items()})

    from proml_kedro.models.graph.score import run_plan

    fresh = make_columns(100, seed=7)
    made = run_plan(graph.plan, fresh, Elsewhere(graph.components))
    np.testing.assert_array_equal(made[graph.plan.score], graph.score(fresh))


@pytest.mark.slow
def test_the_benchmark_of_memory_runs_and_finds_the_same_model():
    """A sample of ``benchmarks/graph.py``, whose figures are of five million rows; these are few, and a batch counts.

    The columns of all rows, of which reading makes two copies, would need over 100 MB.
    """
    file = Path(__file__).parents[3] / "benchmarks/graph.py"
    done = subprocess.run([sys.executable, file, "--rows", "3e5"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["with"]["peak_mb"] - figures["without"]["peak_mb"] < 50
    assert figures["with"]["deviation"] == pytest.approx(figures["without"]["deviation"], rel=1e-3)
