"""On-demand features in training sets, bundles, files and requests are the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.bundle import Bundle, BundleContent, write_bundle
from proml_kedro.features.on_demand.batches import with_on_demand
from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.models.columns import read_columns
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import Scorer
from proml_kedro.spec.run import RunSpec
from small import METRICS, fit, make_config, write_training_set

EXTRA = {
    "source": "on_demand",
    "features": {
        # Far from what single precision can hold: rounded before, the difference would be lost.
        "cents": {"dtype": "float", "expression": "(visit.price * 1e9 + visit.items) % 1000 - traffic.visits_3h"},
        "kind": {"dtype": "str", "expression": "case when visit.member then lower(visit.city) else 'guest' end"},
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("made")
    trees = {"kind": "xgboost", "inputs": ["extra.*", "visit.shop", "visit.price"], "num_boost_round": 10}
    config: dict[str, Any] = make_config({"trees": trees})
    config["features"]["extra"] = EXTRA
    config = RunSpec.model_validate(config).model_dump(mode="json")
    features = RunSpec.model_validate(config).features
    training_set = write_training_set(folder / "training_set.parquet")
    on_demand = OnDemand(features, ["extra.cents", "extra.kind"])
    batches = [with_on_demand(one, on_demand) for one in pq.read_table(training_set).to_batches(max_chunksize=400)]
    pq.write_table(pa.Table.from_batches(batches), training_set)
    (folder / "bundle").mkdir()
    write_bundle(
        folder / "bundle",
        BundleContent(graph=fit(config, training_set), config=config, training_set=training_set, metrics=METRICS),
        name="extra",
        version="v1",
        shown_at=folder / "bundle",
    )
    return folder / "bundle", training_set


def test_a_row_consists_of_what_they_are_made_of(made: tuple[Path, Path]) -> None:
    names = {one.name: one.request for one in Bundle.load(made[0]).manifest.rows.inputs}
    requested = dict.fromkeys(("visit.shop", "visit.price", "visit.items", "visit.city", "visit.member"), True)
    assert names == {**requested, "traffic.visits_3h": False}


def test_requests_score_like_the_training_set(made: tuple[Path, Path]) -> None:
    bundle = Bundle.load(made[0])
    rows = golden_rows(made[0], bundle.manifest)
    wanted = pq.read_table(made[0] / "golden.parquet")["probability"].to_pylist()
    scorer = Scorer(made[0])
    assert scorer.score(rows) == wanted
    assert [scorer.score([one])[0] for one in rows] == wanted


def test_what_a_request_gives_is_what_the_training_set_holds(made: tuple[Path, Path]) -> None:
    bundle = Bundle.load(made[0])
    graph = bundle.graph
    trained = graph.score(read_columns(made[1], graph.inputs))
    served = bundle.score(read_columns(made[1], bundle.inputs, precision="float64"))
    np.testing.assert_array_equal(served, trained)
