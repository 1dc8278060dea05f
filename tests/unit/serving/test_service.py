"""The service as an application, in this process, with a real bundle."""

import json
import logging
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from proml_kedro.bundle import Bundle, IntegrityError
from proml_kedro.features.online.lookup import Found
from proml_kedro.serving.guard import TOKEN_VARIABLE
from proml_kedro.serving.lookup import STORE_VARIABLE, OnlineLookup, StoreUnavailableError
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.service import make_service
from small import make_bundle

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*httpx.*")

SECRET = "Secretville"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def rows(bundle):
    return golden_rows(bundle, Bundle.load(bundle).manifest)


@contextmanager
def serving(bundle: Path):
    from starlette.testclient import TestClient

    with TestClient(make_service(bundle, metrics=False).to_asgi(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(bundle):
    with serving(bundle) as one:
        yield one


def predict(client, rows, path="/predict"):
    return client.post(path, json={"instances": rows})


def test_probabilities_are_those_of_the_bundle(client, bundle, rows):
    import pyarrow.parquet as pq

    answer = predict(client, rows)
    assert answer.status_code == 200
    assert answer.json()["model"] == "sales-xgboost:v1"
    expected = pq.read_table(bundle / "golden.parquet")["probability"].to_numpy()
    np.testing.assert_allclose(answer.json()["probabilities"], expected, rtol=0, atol=1e-9)


def test_many_rows_score_like_few(client, rows):
    many = (rows * 3)[:50]
    one_by_one = [predict(client, [row]).json()["probabilities"][0] for row in many]
    np.testing.assert_allclose(predict(client, many).json()["probabilities"], one_by_one, rtol=0, atol=1e-9)


def test_missing_values_and_unknown_categories_are_scored(client, rows):
    odd = [dict.fromkeys(rows[0]), {**rows[0], "visit.city": SECRET}, {**rows[0], "visit.price": -3e38}]
    answer = predict(client, odd)
    assert answer.status_code == 200
    assert all(0 < one < 1 for one in answer.json()["probabilities"])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"instances": [', 400, "Invalid JSON"),
        (b"", 400, "Invalid JSON"),
        (b"[]", 422, "should be an object"),
        (b'{"instances": []}', 422, "at least 1"),
        (json.dumps({"instances": [{}] * 51}).encode(), 422, "at most 50"),
        (b'{"instances": [{"visit.cty": "x"}]}', 422, "Did you mean 'visit.city'?"),
    ],
)
def test_a_body_that_does_not_fit_is_explained(client, body, status, message):
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert message in answer.text


def test_values_are_neither_logged_nor_sent_back(client, rows, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        assert predict(client, [{**rows[0], "visit.city": [SECRET]}]).status_code == 422
        assert predict(client, [{**rows[0], "visit.price": SECRET}]).status_code == 422
        answer = client.post("/predict", content=f"{{{SECRET}", headers={"Content-Type": "application/json"})
    assert SECRET not in answer.text
    assert SECRET not in caplog.text
    assert not any(record.exc_info for record in caplog.records)
    assert SECRET not in "".join(capfd.readouterr())


def test_an_error_while_scoring_is_logged_without_what_it_says(bundle, rows, caplog, monkeypatch):
    def fail(self, columns):
        raise ValueError(f"cannot score {columns['visit.city'].tolist()}")

    with serving(bundle) as client, caplog.at_level(logging.INFO):
        monkeypatch.setattr(Bundle, "score", fail)  # only now: a bundle that cannot score is never ready
        answer = predict(client, [{**rows[0], "visit.city": SECRET}])
    assert answer.status_code == 500
    assert SECRET not in answer.text + caplog.text
    assert "scoring failed: ValueError" in caplog.text
    assert "in fail" in caplog.text  # where, though not what


def test_metadata_says_what_is_served(client, bundle):
    answer = client.get("/metadata").json()
    assert (answer["name"], answer["version"]) == ("sales-xgboost", "v1")
    assert answer["sha256"] == Bundle.load(bundle).digest
    assert {one["name"] for one in answer["schema"]["inputs"]} > {"visit.city", "traffic.visits_3h"}
    assert answer["metrics"]["candidate"]["auc"] == 0.8


def test_the_documentation_describes_a_row(client):
    schemas = client.get("/docs.json").json()["components"]["schemas"]
    row = schemas["FeatureRow"]
    assert row["properties"]["visit.price"]["description"] == "in euros"
    assert {"type": "null"} in row["properties"]["visit.price"]["anyOf"]
    assert row["additionalProperties"] is False
    assert set(schemas["KeyRow"]["properties"]) > {"shop", "timestamp", "visit.city"}
    assert "traffic.visits_3h" not in schemas["KeyRow"]["properties"]


def test_it_is_ready(client):
    assert client.get("/readyz").status_code == 200


def test_a_damaged_bundle_is_never_ready(bundle, tmp_path):
    damaged = shutil.copytree(bundle, tmp_path / "bundle")
    file = damaged / "components" / "trees" / "model.ubj"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model\.ubj was changed"), serving(damaged):
        pass


def test_the_guard_stands_before_it(client):
    assert client.post("/predict", content=b"a,b", headers={"Content-Type": "text/csv"}).status_code == 415
    assert client.post("/predict", content=b"x" * 30_000).status_code == 415
    json_type = {"Content-Type": "application/json"}
    assert client.post("/predict", content=b"x" * 30_000, headers=json_type).status_code == 413
    assert client.post("/predict", content=iter([b"x" * 15_000] * 2), headers=json_type).status_code == 413


def test_a_token_is_taken_from_the_environment(bundle, rows, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "right")
    with serving(bundle) as client:
        assert predict(client, rows).status_code == 401
        assert client.get("/metadata").status_code == 401
        assert client.get("/readyz").status_code == 200
        client.headers["Authorization"] = "Bearer right"
        assert predict(client, rows).status_code == 200


def _keys(row):
    return {"shop": 3, **{name: row[name] for name in ("visit.city", "visit.price", "visit.items", "visit.member")}}


def test_without_an_online_store_only_looking_up_fails(client, rows):
    answer = predict(client, [_keys(rows[0])], "/predict_online")
    assert answer.status_code == 503
    assert STORE_VARIABLE in answer.json()["error"]
    assert predict(client, rows).status_code == 200
    assert client.get("/readyz").status_code == 200


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


def test_what_is_looked_up_is_scored_like_what_is_sent(bundle, rows):
    moment = datetime(2024, 3, 5, 10, tzinfo=UTC)
    reader = Reader()
    with serving(bundle) as client:
        _scorer(client).online._reader = reader
        asked = [_keys(rows[0]), {**_keys(rows[1]), "timestamp": moment.isoformat(), "shop": None}]
        answer = predict(client, asked, "/predict_online")
        shop = {"visit.shop": 3, "traffic.visits_3h": 3, "traffic.visits_all": None}
        sent = [{**rows[0], **shop}, {**rows[1], **dict.fromkeys(shop)}]
        assert answer.json() == predict(client, sent).json()
    ((keys, moments),) = reader.asked
    assert keys == [{"shop": 3}, {"shop": None}]
    assert moments[1] == moment
    assert abs((datetime.now(UTC) - moments[0]).total_seconds()) < 60


def _scorer(client):
    (mounted,) = [route.app for route in client.app.routes if hasattr(getattr(route, "app", None), "state")]
    return mounted.state.scorer


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
