"""How a component learned: the metric of the validation period after each step, as others compute it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from proml_kedro.evaluation.learning import draw_learning
from proml_kedro.models.columns import in_split, read_columns
from proml_kedro.models.component import Component, Input
from proml_kedro.models.curve import Curve
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.xgboost.component import XGBoost
from small import fit, make_config, write_training_set


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("rows") / "rows.parquet")


def validation_of(component: Component, rows: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    columns = dict(read_columns(rows, [*component.inputs, Input("label", "float")], in_split("validation")))
    return columns, columns.pop("label")


def fitted(config: dict[str, object], rows: Path) -> Component:
    (component,) = fit(make_config({"one": {"inputs": ["*"], **config}}), rows).components.values()
    return component


def test_of_trees_it_is_the_logloss_after_each(rows: Path) -> None:
    stopped = {"num_boost_round": 60, "early_stopping_rounds": 5, "refit": False}
    trees = {"kind": "xgboost", **stopped, "params": {"learning_rate": 0.3}}
    component = fitted(trees, rows)
    assert isinstance(component, XGBoost)
    curve = component.curve()
    assert curve is not None
    assert (curve.metric, curve.step, len(curve.values)) == ("logloss", "tree", curve.best + 5)
    columns, label = validation_of(component, rows)
    whole = component._booster
    for count in (1, 2, curve.best):
        component._booster = whole[:count]
        assert curve.values[count - 1] == pytest.approx(log_loss(label, component.score(columns)["probability"]), 1e-5)
    assert min(curve.values) == curve.values[curve.best - 1]
    assert "not better in the 5 after it" in curve.in_words


def test_of_a_network_it_is_what_stops_it(rows: Path) -> None:
    network = {
        "kind": "deep",
        "graph": {"all": {"block": "mlp", "of": ["numbers", "embeddings"], "units": [8]}},
        "head": {"of": ["all"]},
        "training": {"epochs": 8, "batch_size": 64, "early_stopping": {"metric": "logloss", "patience": 1}},
    }
    component = fitted(network, rows)
    assert isinstance(component, Deep)
    curve = component.curve()
    assert curve is not None
    columns, label = validation_of(component, rows)
    said = component.score(columns)["probability"]
    assert roc_auc_score(label, said) > 0.6
    assert (curve.metric, curve.step, curve.best) == ("logloss", "epoch", component.summary()["epochs"])
    assert curve.values[curve.best - 1] == pytest.approx(log_loss(label, said), abs=0.02), "calibrated since"
    assert min(curve.values) == curve.values[curve.best - 1]


def test_the_report_shows_it_and_says_whether_more_would_help(rows: Path, tmp_path: Path) -> None:
    config = make_config({"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 4}})
    graph = fit(config, rows)
    text = "\n".join(line for one in graph.curves().items() for line in draw_learning(tmp_path, *one))
    assert "after 4 trees, the last; none after it was tried: more may be better" in text
    assert (tmp_path / "learning_trees.png").stat().st_size > 5000
    assert "(learning_trees.png)" in text


def test_a_component_of_before_has_none() -> None:
    assert Curve.from_text(None) is None
    curve = Curve("auc", "epoch", [0.5123456789], 1)
    again = Curve.from_text(curve.as_text())
    assert again is not None
    assert again.values == [0.512346]
    assert again.in_words.endswith("after 1 epoch, the last; no other was tried")
