"""What producers say of a row is the same in training sets, tables that are scored, and requests."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.bundle import Bundle, BundleContent, write_bundle
from proml_kedro.extensions import producers
from proml_kedro.features.on_demand.batches import with_on_demand
from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.models.columns import ParquetRows, in_split, read_columns
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.graph.fit import GraphFit
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import ModelSpec
from proml_kedro.spec.run import RunSpec
from small import METRICS, fit, make_config, write_training_set

PAIR = ["visit.wish", "visit.taste"]
COMPONENTS: dict[str, Any] = {
    "dot": {"kind": "dot", "of": PAIR},
    "cosine": {"kind": "cosine_similarity", "of": PAIR},
    "apart": {"kind": "euclidean_distance", "of": PAIR},
    "less": {"kind": "difference", "of": ["visit.price", "visit.items"]},
    "each": {"kind": "ratio", "of": ["visit.price", "visit.items"]},
    "log": {"kind": "log1p", "of": "visit.items"},
    "cut": {"kind": "clip", "of": "visit.price", "low": 15, "high": 25},
    "level": {"kind": "bucketize", "of": "less", "bounds": [10, 20]},
    "both": {"kind": "cross", "of": ["visit.city", "level"]},
    "hour": {"kind": "date_part", "of": "visit.seen", "part": "hour", "timezone": "Asia/Kolkata"},
    "age": {"kind": "time_since", "of": ["visit.seen", "visit.opened"], "unit": "hours"},
    "words": {"kind": "text_overlap", "of": ["visit.search", "visit.title"]},
    "rare": {"kind": "tfidf_similarity", "inputs": ["visit.search", "visit.title"]},
    "often": {"kind": "target_statistics", "inputs": ["both"], "smoothing": 5},
    "mix": {"kind": "expression", "expression": "dot(visit.wish, visit.taste) * coalesce(words, 0) + log.value"},
}
READ = [name for name in COMPONENTS if name != "both"]
COMPONENTS["final"] = {"kind": "linear", "inputs": [*READ, "both"]}
ON_DEMAND = {
    "dot": "dot(visit.wish, visit.taste)",
    "cosine": "cosine_similarity(visit.wish, visit.taste)",
    "apart": "euclidean_distance(visit.wish, visit.taste)",
    "less": "visit.price - visit.items",
    "each": "visit.price / visit.items",
    "log": "log1p(visit.items)",
    "cut": "clip(visit.price, 15, 25)",
    "age": "time_since('hours', visit.seen, visit.opened)",
    "words": "text_overlap(visit.search, visit.title)",
    "mix": "dot(visit.wish, visit.taste) * coalesce(made.words, 0) + made.log",
}


def columns_of(rows: int) -> dict[str, pa.Array]:
    """Vectors, texts and moments, with what is missing, zero, empty or no moment."""
    generator = np.random.default_rng(4)
    vectors = {name: generator.normal(size=(rows, 3)).astype(np.float32).tolist() for name in PAIR}
    texts = ["red shoes", "Red, red boots", "blue boots", "", "!", None]
    moments = ["2024-02-03T04:05:06Z", "2024-01-01 23:59:59.5", "2023-06-01T12:00:00+02:00", "soon", None]
    made: dict[str, pa.Array] = {}
    for name, values in vectors.items():
        values[:: 7 if name == PAIR[0] else 11] = [None] * len(values[:: 7 if name == PAIR[0] else 11])
        values[5::13] = [[0.0, 0.0, 0.0]] * len(values[5::13])
        made[name] = pa.array(values, pa.list_(pa.float32()))
    for name in ("visit.search", "visit.title", "visit.seen", "visit.opened"):
        found = texts if name in ("visit.search", "visit.title") else moments
        made[name] = pa.array([found[one] for one in generator.integers(0, len(found), rows)], pa.string())
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ModelGraph]:
    folder = tmp_path_factory.mktemp("made")
    config: dict[str, Any] = make_config(COMPONENTS)
    visit = config["features"]["visit"]["features"]
    visit |= {name.partition(".")[2]: {"dtype": "vector[3]"} for name in PAIR}
    visit |= {name: {"dtype": "str"} for name in ("search", "title", "seen", "opened")}
    asked = {name: {"dtype": "float", "expression": text} for name, text in ON_DEMAND.items()}
    config["features"]["made"] = {"source": "on_demand", "features": asked}
    run = RunSpec.model_validate(config)
    config = run.model_dump(mode="json")
    file = write_training_set(folder / "training_set.parquet")
    table = pq.read_table(file)
    for name, column in columns_of(len(table)).items():
        table = table.append_column(name, column)
    on_demand = OnDemand(run.features, [f"made.{name}" for name in ON_DEMAND])
    batches = [with_on_demand(one, on_demand) for one in table.to_batches(max_chunksize=400)]
    pq.write_table(pa.Table.from_batches(batches), file)
    graph = fit(config, file)
    (folder / "bundle").mkdir()
    content = BundleContent(graph=graph, config=config, training_set=file, metrics=METRICS)
    write_bundle(folder / "bundle", content, name="all", version="v1", shown_at=folder / "bundle")
    return folder / "bundle", file, graph


def test_every_producer_that_is_shipped_is_among_them() -> None:
    shipped = {name for name in producers.names() if producers.get(name).__module__.startswith("proml_kedro.")}
    assert {one["kind"] for one in COMPONENTS.values()} >= shipped


def test_files_batches_and_requests_have_the_same_scores(made: tuple[Path, Path, ModelGraph]) -> None:
    bundle, file, graph = made
    offline = graph.score_rows(ParquetRows(file, "test"))
    table = pq.read_table(file, filters=in_split("test"))
    loaded = Bundle.load(bundle)
    batch = loaded.score_frame(table.select([one.name for one in loaded.inputs]))
    np.testing.assert_allclose(batch, offline, rtol=0, atol=1e-6)
    scorer = BundleScorer(bundle)
    rows = table.select([one.name for one in loaded.inputs]).to_pylist()
    alone = [scorer.score([row])[0] for row in rows[:60]]
    np.testing.assert_allclose(alone, offline[:60], rtol=0, atol=1e-6)
    np.testing.assert_allclose(scorer.score(rows), offline, rtol=0, atol=1e-6)
    unknown = {**rows[0], "visit.city": "Atlantis", "visit.search": "word of no training", "visit.seen": "never"}
    assert 0 < scorer.score([unknown])[0] < 1


def test_producers_are_on_demand_features_in_the_precision_of_models(made: tuple[Path, Path, ModelGraph]) -> None:
    _, file, graph = made
    names = [Input(f"made.{name}", "float") for name in ON_DEMAND]
    columns = read_columns(file, [*graph.inputs, *names])
    outputs = graph.outputs(columns)
    for name in ON_DEMAND:
        one, other = outputs[f"{name}.value"], columns[f"made.{name}"]
        assert 0 < np.isnan(one).sum() < len(one)
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-5, err_msg=name)


def test_each_is_what_it_says(made: tuple[Path, Path, ModelGraph]) -> None:
    """Row by row, with plain Python."""
    _, file, graph = made
    table = pq.read_table(file)
    outputs = graph.outputs(read_columns(file, graph.inputs))
    for row, values in enumerate(table.to_pylist()):
        price, items, wish, taste = (values[one] for one in ("visit.price", "visit.items", *PAIR))
        found = {
            name: outputs[f"{name}.value"][row] for name in ("apart", "cosine", "less", "each", "log", "both", "age")
        }
        if wish and taste:
            assert found["apart"] == pytest.approx(math.dist(wish, taste), rel=1e-5)
        assert np.isnan(found["cosine"]) == (not wish or not taste or not any(wish) or not any(taste))
        less = None if price is None or items is None else price - items
        assert found["less"] == pytest.approx(math.nan if less is None else less, abs=1e-5, nan_ok=True)
        assert found["each"] == pytest.approx(
            price / items if less is not None and items else math.nan, rel=1e-5, nan_ok=True
        )
        assert found["log"] == pytest.approx(math.nan if items is None else math.log(1 + items), rel=1e-5, nan_ok=True)
        city, level = values["visit.city"], outputs["level.value"][row]
        assert level == (None if less is None else str(int(np.float32(less) >= 10) + int(np.float32(less) >= 20)))
        assert found["both"] == (f"{city}|{level}" if city is not None and level is not None else None)
        seen, opened = (instant(values[one]) for one in ("visit.seen", "visit.opened"))
        hours = math.nan if seen is None or opened is None else (seen - opened).total_seconds() / 3600
        assert found["age"] == pytest.approx(hours, nan_ok=True)


def instant(text: str | None) -> datetime | None:
    if text in (None, "soon"):
        return None
    return datetime.fromisoformat(str(text) if "+" in str(text) or "Z" in str(text) else f"{text}+00:00")


def test_a_blend_is_the_mean_of_log_odds_and_its_scorers_are_fitted_once() -> None:
    """Of two logistic regressions, by their own scores."""
    names = ("one", "two")
    scorers = {name: {"kind": "logistic", "inputs": [f"a.{name}"]} for name in names}
    blend = {"kind": "blend", "inputs": ["one.margin", "two.margin"], "weights": [1, 3]}
    model = ModelSpec(name="m", components={**scorers, "all": blend}, score="all")
    graph = ModelGraph(model, dict.fromkeys(("a.one", "a.two"), "float"))
    generator = np.random.default_rng(0)
    columns = {f"a.{name}": generator.normal(size=500) for name in names}
    label = (generator.random(500) < 1 / (1 + np.exp(-sum(columns.values())))).astype(float)
    rows = Examples(columns, label)
    copies: list[str] = []
    fit_of = GraphFit(graph.plan, graph.components, lambda name: copies.append(name) or graph._new(name), 3)
    fit_of.run(rows, rows, FitContext(HardwareSpec(threads=1), seed=0))
    assert copies == []
    made = graph.outputs(columns)
    odds = [np.log(made[f"{name}.probability"] / (1 - made[f"{name}.probability"])) for name in names]
    expected = 1 / (1 + np.exp(-(0.25 * odds[0] + 0.75 * odds[1])))
    np.testing.assert_allclose(graph.score(columns), expected, rtol=0, atol=1e-12)


def test_statistics_of_training_rows_are_out_of_fold() -> None:
    """A category of one row each says nothing of its own label to whoever learns from it."""
    model = ModelSpec(
        name="m",
        components={
            "mean": {"kind": "target_statistics", "inputs": ["a.id"], "smoothing": 0.01},
            "same": {"kind": "tfidf_similarity", "inputs": ["a.id", "a.other"]},
            "final": {"kind": "linear", "inputs": ["mean", "same"]},
        },
        score="final",
    )
    graph = ModelGraph(model, {"a.id": "str", "a.other": "str"})
    ids = np.array([f"id{one // 2}" for one in range(600)], object)
    label = np.random.default_rng(0).integers(0, 2, 600).astype(float)
    label[1::2] = 1 - label[::2]
    rows = Examples({"a.id": ids, "a.other": ids[::-1].copy()}, label)
    fits: list[str] = []
    plain = GraphFit(graph.plan, graph.components, lambda name: fits.append(name) or graph._new(name), 3)
    plain.run(rows, rows, FitContext(HardwareSpec(threads=1), seed=0))
    assert fits == ["mean"] * 3  # what does not read labels is fitted once
    inside = graph.components["mean"].score(rows.columns)["mean"]
    assert np.abs(inside - 0.5).max() < 0.02  # each id has one of either label
    assert graph.components["final"]._coefficients[0] < -0.1  # out of fold it tells the other row's label, the opposite
