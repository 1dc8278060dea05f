"""Which online store a service reads, and that what it looks up is scored like what is sent."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from proml_kedro.bundle import Bundle
from proml_kedro.features.online.lookup import Found
from proml_kedro.serving.http.application import Options, make_application
from proml_kedro.serving.lookup import STORE_VARIABLE, OnlineLookup, StoreUnavailableError
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from small import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("service"))


class Reader:
    """Stands where the online store's reader does: the store has tests of its own."""

    def __init__(self):
        self.asked = []

    def find(self, keys, moments):
        self.asked.append((keys, moments))
        columns = {
            "traffic.visits_3h": np.array([float(key["shop"] or np.nan) for key in keys]),
            "traffic.visits_all": np.full(len(keys), np.nan),
        }
        nothing = np.zeros(len(keys), np.int64)
        return Found(columns, nothing, nothing, nothing)


def test_what_is_looked_up_is_scored_like_what_is_sent(bundle):
    scorer = BundleScorer(bundle)
    rows = golden_rows(bundle, scorer.bundle.manifest)
    moment = datetime(2024, 3, 5, 10, tzinfo=UTC)
    scorer.online._reader = reader = Reader()

    def predict(path, rows):
        return client.post(path, json={"instances": rows}).json()

    def keys(row):
        return {"shop": 3, **{name: row[name] for name in ("visit.city", "visit.price", "visit.items", "visit.member")}}

    with TestClient(make_application(scorer, scorer.bundle.manifest.serving, Options())) as client:
        asked = [keys(rows[0]), {**keys(rows[1]), "timestamp": moment.isoformat(), "shop": None}]
        answer = predict("/predict_online", asked)
        shop = {"visit.shop": 3, "traffic.visits_3h": 3, "traffic.visits_all": None}
        sent = [{**rows[0], **shop}, {**rows[1], **dict.fromkeys(shop)}]
        assert answer["probabilities"] == predict("/predict", sent)["probabilities"]
    ((keys, moments),) = reader.asked
    assert keys == [{"shop": 3}, {"shop": None}]
    assert moments[1] == moment
    assert abs((datetime.now(UTC) - moments[0]).total_seconds()) < 60


def _lookup(bundle):
    return OnlineLookup(Bundle.load(bundle).manifest, bundle)


def test_the_store_is_the_one_named_or_the_nearest_above(bundle, tmp_path, monkeypatch):
    near = shutil.copytree(bundle, tmp_path / "data" / "store" / "bundle")
    for folder in ("data", "elsewhere"):
        (tmp_path / folder / "feature_store" / "sales").mkdir(parents=True)
        (tmp_path / folder / "feature_store" / "sales" / "online.db").touch()
    inside = Path("feature_store", "sales", "online.db")
    assert _lookup(near)._place() == str(tmp_path / "data" / inside)
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "elsewhere"))
    assert _lookup(near)._place() == str(tmp_path / "elsewhere" / inside)
    monkeypatch.setenv(STORE_VARIABLE, "redis://127.0.0.1:6379/3")
    assert _lookup(near)._place() == "redis://127.0.0.1:6379/3"
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(StoreUnavailableError, match=f"{STORE_VARIABLE} names no folder with one"):
        _lookup(near)._place()
