"""The model of a run against the one that is live: compared by example, gated, and refused where it cannot be."""

from __future__ import annotations

import json
import sys
import time
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from sklearn.metrics import roc_auc_score

from proml_kedro import hooks
from proml_kedro.artifacts import Artifact, Recipe
from proml_kedro.bundle.row_scorer import RowScorer
from proml_kedro.datasets import ArtifactDataset, RunDataset
from proml_kedro.errors import UserError
from proml_kedro.results import Metrics, Scores
from proml_kedro.results.names import MANIFEST
from proml_kedro.results.run_record import read_records
from proml_kedro.spec import RunSpec
from proml_kedro.workflow import Run
from proml_kedro.workflow.champion import challenge
from proml_kedro.workflow.steps.evaluate import _latency_ms
from proml_kedro.workflow.steps.scored import FittedModel
from small import fit, make_config, write_training_set

ROWS, DAYS = 3000, 30


def write_scores(noise: float, shift: int, folder: Path) -> None:
    """Write what an evaluation leaves: examples from a number on, with scores of so much noise."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=2 * ROWS)
    label = (generator.random(2 * ROWS) < 1 / (1 + np.exp(-truth))).astype(float)
    score = 1 / (1 + np.exp(-truth - noise * np.random.default_rng(int(noise * 10)).normal(size=2 * ROWS)))
    here = slice(shift, shift + ROWS)
    columns = {"example_id": np.arange(2 * ROWS), "label": label, "score": score}
    table = pa.table({name: values[here] for name, values in columns.items()})
    days = pa.array([f"2024-05-{1 + one % DAYS:02d}" for one in range(2 * ROWS)][here])
    table = table.append_column("day", days).append_column("split", pa.array(["test"] * ROWS))
    pq.write_table(table, folder / Scores.FILE)
    content = {"rows": ROWS, "candidate": {"auc": 0.7, "logloss": 0.5}, "cluster_by": "day", "clusters": DAYS}
    Metrics.of(content).write(folder)


def write_bundle(folder: Path) -> None:
    (folder / MANIFEST).write_text(yaml.safe_dump({"name": "live", "version": "7", "schema": {"inputs": []}}))


def make(run: Run, noise: float, shift: int = 0) -> tuple[Artifact, Path]:
    """An evaluation and the bundle that is made from it."""
    recipe = Recipe("evaluation", {"noise": noise, "shift": shift})
    made = run.store.build(recipe, {}, partial(write_scores, noise, shift))
    bundle = run.store.build(Recipe("bundle", {}, {"evaluation": recipe}), {"evaluation": made}, write_bundle)
    return made, bundle.path


def run_of(folder: Path, champion: Path | None = None, **gates: dict[str, Any]) -> Run:
    config = make_config()
    named = {"champion": str(champion)} if champion else {}
    config["evaluation"] = {"metrics": ["auc", "logloss"], "gates": gates, **named}
    return Run.of(RunSpec.model_validate(config), folder)


def release(run: Run, content: Any) -> Path:
    note = run.store.data_dir / "release" / f"{run.spec.problem.name}.json"
    note.parent.mkdir(parents=True)
    note.write_text(content if isinstance(content, str) else json.dumps(content))
    return note


GATE = {"min_lift": 0.0, "p": 0.05, "against": "champion"}


@pytest.mark.parametrize("by_file", [True, False])
def test_figures_are_those_of_both_models_and_gates_hold_their_difference(tmp_path: Path, by_file: bool) -> None:
    run = run_of(tmp_path)
    (better, _), (worse, live) = make(run, 0.2), make(run, 2.0)
    run = run_of(tmp_path, None if by_file else live, auc=GATE, logloss={"max": 0.1, "against": "champion"})
    if by_file:
        release(run, {"champion": str(live.relative_to(run.store.data_dir))})
    found = challenge(run, better)
    assert found is not None
    assert found.text.startswith("Against the champion: xgboost is better than champion live:7: auc +0.")
    assert [(one.metric, one.passed) for one in found.gates] == [("auc", True), ("logloss", False)]
    metrics = Metrics.read(run.places.at("evaluation").parent / "champion")
    for figures, of in ((metrics.candidate, better), (metrics.baseline, worse)):
        table = Scores.read(of.path).table
        assert figures
        assert figures["auc"] == pytest.approx(roc_auc_score(table["label"], table["score"]), abs=1e-12)
    suite = ET.parse(run.places.at("evaluation").parent / "champion" / "gates.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")

    _, best = make(run, 0.2)
    turned = challenge(run_of(tmp_path, best, auc=GATE), worse)
    assert turned is not None
    assert not turned.gates[0].passed
    assert "lift -0." in turned.gates[0].text
    assert challenge(run_of(tmp_path, best, auc=GATE), better) is None  # the champion itself


def test_only_examples_that_both_have_scored_count_and_others_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    made, _ = make(run, 0.2)
    found = challenge(run_of(tmp_path, make(run, 2.0, ROWS // 2)[1], auc=GATE), made)
    assert found is not None
    assert Metrics.read(run.places.at("evaluation").parent / "champion").rows == ROWS // 2
    none = challenge(run_of(tmp_path, make(run, 2.0, ROWS)[1], auc=GATE), made)
    assert none is not None
    assert "no example of the test period in common" in none.text
    assert not none.gates[0].passed
    assert none.kind == "undefined"


def test_without_a_champion_nothing_is_compared(tmp_path: Path) -> None:
    run = run_of(tmp_path, auc=GATE)
    assert challenge(run, make(run, 0.2)[0]) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not what says which bundle is live"),
        ({"x": 1}, "is not what says which bundle is live"),
        ({"champion": "no"}, "there is no bundle in '.*/no'"),
    ],
)
def test_what_names_no_bundle_is_one_line_before_the_run(tmp_path: Path, content: Any, message: str) -> None:
    run = run_of(tmp_path)
    note = release(run, content)
    pipeline = Pipeline([Node(lambda run: None, ["run"], "evaluation", name="evaluate")])
    catalog = DataCatalog({"run": RunDataset(run), "evaluation": ArtifactDataset(str(tmp_path / "evaluation"))})
    with pytest.raises(UserError, match=message) as caught:
        hooks.ProjectHooks().before_pipeline_run(pipeline, catalog)
    assert str(caught.value).startswith(f"{note}: ")
    with pytest.raises(UserError, match=r"evaluation.champion: there is no bundle in '.*nowhere'"):
        challenge(run_of(tmp_path, Path("nowhere")), make(run, 0.2)[0])


@pytest.mark.parametrize(("noise", "code"), [(0.2, None), (3.0, 1)])
def test_a_run_that_loses_against_the_champion_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], noise: float, code: int | None
) -> None:
    monkeypatch.setattr(sys, "argv", ["kedro", "run"])
    monkeypatch.setattr("proml_kedro.workflow.run.limit_environment", lambda hardware: None)
    run = run_of(tmp_path, make(run_of(tmp_path), 1.0)[1], auc=GATE)
    made, _ = make(run, noise)
    dataset = ArtifactDataset(str(tmp_path / "evaluation"))
    catalog = DataCatalog({"run": RunDataset(run), "evaluation": dataset})
    pipeline = Pipeline([Node(lambda run: made, ["run"], "evaluation", name="evaluate")])
    project_hooks = hooks.ProjectHooks()
    project_hooks.before_pipeline_run(pipeline, catalog)
    dataset.save(made)
    ended = None
    try:
        project_hooks.after_pipeline_run({}, pipeline, catalog)
    except SystemExit as caught:
        ended = caught.code
    assert ended == code
    ((_, record),) = read_records(run.store.data_dir, pytest.fail)
    assert record.verdicts["champion"] == ("better" if code is None else "worse; auc failed")
    printed = capsys.readouterr().out
    assert "Against the champion: xgboost is " in printed
    assert ("Gate of auc failed: lift -0." in printed) == (code == 1)


def test_latency_is_that_of_rows_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is made to take 3 ms longer."""
    run = run_of(tmp_path)
    rows = write_training_set(tmp_path / "training_set.parquet")
    model = FittedModel(run, rows, fit(make_config(), rows))
    assert 0 < _latency_ms(run, rows, model) < 1000
    seen, scored = [], RowScorer.score

    def slow(self: RowScorer, columns: Any) -> Any:
        seen.append({len(values) for values in columns.values()})
        time.sleep(0.003)
        return scored(self, columns)

    monkeypatch.setattr(RowScorer, "score", slow)
    assert _latency_ms(run, rows, model) > 3
    assert len(seen) > 100
    assert all(one == {1} for one in seen)
