"""Looking features up in a real online store gives what training had."""

import json
import os
import re
import shutil
from contextlib import contextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from online import make_online
from places import placed
from proml_kedro.serving.http.application import Options, make_application
from proml_kedro.serving.lookup import STORE_VARIABLE
from proml_kedro.serving.places.elsewhere import Elsewhere
from proml_kedro.serving.places.place import PlaceMetrics
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec import PlaceSpec, ServingSpec
from proml_kedro.spec.run import RunSpec
from redis_server import redis_server
from small import make_config

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*httpx.*")

REQUEST = ["visit.shop", "visit.city", "visit.price", "visit.items", "visit.member"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_online(tmp_path_factory.mktemp("online"))


@contextmanager
def answering(bundle, online=True, **spec):
    """The application of `kedro serve`, in this process."""
    from starlette.testclient import TestClient

    scorer = BundleScorer(bundle, spec.get("log"))
    with TestClient(make_application(scorer, ServingSpec(**spec), Options(online=online))) as client:
        yield client


@contextmanager
def asking(bundle, url, on_failure):
    """The same, whose features a place looks up."""
    from starlette.testclient import TestClient

    scorer, registry = BundleScorer(bundle), CollectorRegistry()
    place = PlaceSpec(url=url, features=True, on_failure=on_failure, timeout_ms=5000)
    elsewhere = Elsewhere(scorer, {"lookups": place}, PlaceMetrics(registry))
    with TestClient(make_application(scorer, ServingSpec(), Options(elsewhere=elsewhere, registry=registry))) as client:
        yield client
    elsewhere.close()


def post(client, path, row):
    return client.post(path, json={"instances": [row]})


def scores(answer):
    return answer.json()["probabilities"], answer.json()["model"]


@pytest.mark.parametrize("named", [True, False])
def test_a_looked_up_row_scores_like_the_row_that_training_saw(made, monkeypatch, named, tmp_path):
    data, bundle, newest, columns = made
    if named:
        monkeypatch.setenv(STORE_VARIABLE, os.fspath(data))
    asked = {
        "shop": newest["shop"],
        **{name: newest[name] for name in REQUEST if name != "visit.shop"},
        "timestamp": newest["event_timestamp"].isoformat(),
    }
    sent = {name: newest[name] for name in columns}
    assert sent["traffic.visits_all"] > 100
    with answering(bundle, log=str(tmp_path / "log.jsonl")) as client:
        online, offline = post(client, "/predict_online", asked), post(client, "/predict", sent)
        assert (online.status_code, offline.status_code) == (200, 200)
        assert scores(online) == scores(offline)
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [line["keys"] for line in lines] == [{"shop": newest["shop"]}]
        assert lines[0]["features"]["traffic.visits_all"] == sent["traffic.visits_all"]
        assert newest["visit.city"] not in json.dumps(lines), "what a request brings is not logged"
        nowhere = {**asked, "shop": 999}
        empty = {**sent, "visit.shop": 999, "traffic.visits_3h": 0, "traffic.visits_all": 0}
        assert scores(post(client, "/predict_online", nowhere)) == scores(post(client, "/predict", empty))
        assert post(client, "/predict_online", {**asked, "shop": None}).status_code == 200


def test_a_place_looks_features_up_as_it_is_done_here(made, monkeypatch):
    data, bundle, newest, _ = made
    asked = {name: newest[name] for name in ("shop", *REQUEST) if name != "visit.shop"}
    asked["timestamp"] = newest["event_timestamp"].isoformat()
    rows = [asked, {**asked, "shop": 999}, {**asked, "shop": None}, {**asked, "timestamp": "2034-01-01T00:00:00Z"}]
    body = {"instances": rows}
    monkeypatch.setenv(STORE_VARIABLE, os.fspath(data))
    there = PlaceSpec(url="http://127.0.0.1:1", features=True)
    keys = {"instances": [{"shop": row["shop"], "timestamp": row["timestamp"]} for row in rows]}
    with placed(bundle, there) as url, answering(bundle) as own, asking(bundle, url, "error") as client:
        for path, said in (("/predict_online", body), ("/features", keys)):
            answer = client.post(path, json=said)
            assert answer.status_code == 200, answer.text
            assert answer.json() == own.post(path, json=said).json()
        past = post(client, "/predict_online", {**asked, "timestamp": "2023-01-01T00:00:00Z"})
        assert (past.status_code, past.json()["problems"][0]["row"]) == (422, 0)
        monkeypatch.setenv(STORE_VARIABLE, os.fspath(bundle))
    with placed(bundle, there) as url, asking(bundle, url, "error") as client:  # which has no store
        assert (client.get("/readyz").status_code, "lookups" in client.get("/readyz").json()["error"]) == (503, True)
        assert post(client, "/predict_online", asked).status_code == 503
    with asking(bundle, url, "fallback") as client:
        answer = post(client, "/predict_online", asked).json()
        assert (answer["degraded"], answer["missing"], answer["expired"]) == (["lookups"], [2], [0])
        sent = {**{name: newest[name] for name in REQUEST}, "traffic.visits_3h": None, "traffic.visits_all": None}
        assert answer["probabilities"] == post(client, "/predict", sent).json()["probabilities"]
        assert "degraded" not in post(client, "/predict", sent).json()
        assert client.get("/readyz").json()["degraded"] == ["lookups"]


def test_an_answer_says_what_the_store_did_not_have(made, monkeypatch, tmp_path):
    data, bundle, newest, columns = made
    monkeypatch.setenv(STORE_VARIABLE, os.fspath(data))
    moment = newest["event_timestamp"]
    known = {
        "shop": newest["shop"],
        **{name: newest[name] for name in REQUEST if name != "visit.shop"},
        "timestamp": moment.isoformat(),
    }
    nobody = {**known, "shop": 999, "visit.city": None}
    with answering(bundle) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.post("/predict_online", json={"instances": [known, nobody]}).json()
        assert answer["missing"] == [0, 3]  # the city, and both counts of a shop that nobody knows
        assert answer["expired"] == [0, 0]
        sent = post(client, "/predict", {name: newest[name] for name in columns}).json()
        assert sent["probabilities"] == answer["probabilities"][:1]
        assert sent["missing"] == [0]


def test_a_moment_that_the_store_cannot_know_is_refused(made, monkeypatch):
    """It keeps the newest values only: those of a month before are gone."""
    data, bundle, newest, _ = made
    monkeypatch.setenv(STORE_VARIABLE, os.fspath(data))
    asked = {"shop": newest["shop"], **{name: newest[name] for name in REQUEST if name != "visit.shop"}}
    past = {**asked, "timestamp": (newest["event_timestamp"] - timedelta(days=30)).isoformat()}
    with answering(bundle) as client:
        answer = client.post("/predict_online", json={"instances": [asked, past]})
        assert answer.status_code == 422
        (problem,) = answer.json()["problems"]
        assert (problem["row"], problem["field"]) == (1, "timestamp")
        assert "keeps the newest values only" in problem["problem"]
        assert post(client, "/predict_online", {**past, "shop": 999}).status_code == 200  # nothing to know of it


def test_readiness_covers_what_is_needed(made, monkeypatch, tmp_path):
    _, bundle, _, _ = made
    monkeypatch.setenv(STORE_VARIABLE, os.fspath(tmp_path))
    with answering(bundle) as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
    with answering(bundle, online=False) as client:
        assert client.get("/readyz").status_code == 200
        assert client.post("/predict_online", json={"instances": []}).status_code == 503


def test_rows_that_could_not_be_logged_are_counted(made, monkeypatch, tmp_path):
    data, bundle, newest, _ = made
    monkeypatch.setenv(STORE_VARIABLE, os.fspath(data))
    asked = {"shop": newest["shop"], **{name: newest[name] for name in REQUEST if name != "visit.shop"}}
    with answering(bundle, log=str(tmp_path / "no folder" / "log")) as client:
        for _ in range(3):
            assert post(client, "/predict_online", asked).status_code == 200
        lost = re.search(r"^proml_log_losses_total (\S+)", client.get("/metrics").text, re.MULTILINE)
        assert lost is not None
        assert float(lost[1]) == 3


def test_a_service_reads_from_redis(made, monkeypatch, tmp_path):
    from proml_kedro.features.feast.materialize import materialize_new
    from proml_kedro.features.feast.repository import open_repository, register

    data, bundle, newest, columns = made
    run = RunSpec.model_validate(make_config())
    asked = {
        "shop": newest["shop"],
        **{name: newest[name] for name in REQUEST if name != "visit.shop"},
        "timestamp": newest["event_timestamp"].isoformat(),
    }
    with redis_server(tmp_path) as url:
        (tmp_path / "data").mkdir()
        shutil.copytree(data / "sales", tmp_path / "data" / "sales")
        store = open_repository(run.problem, run.features, tmp_path / "data", run.hardware, url)
        views = tmp_path / "data" / "sales" / "feature_tables"
        register(store, run.problem, run.features, "sales_xgboost", run.features.columns(), views)
        materialize_new(store, views, ["traffic"], newest["event_timestamp"], run.hardware)
        monkeypatch.setenv(STORE_VARIABLE, url)
        with answering(bundle) as client:
            online = post(client, "/predict_online", asked)
            sent = post(client, "/predict", {name: newest[name] for name in columns})
            assert online.status_code == 200
            assert scores(online) == scores(sent)
    with answering(bundle) as client:  # the server is gone
        assert post(client, "/predict_online", asked).status_code == 503
        assert client.get("/readyz").status_code == 503


def test_a_store_that_cannot_be_read_is_said_to_be(made, monkeypatch, tmp_path, caplog):
    _, bundle, newest, _ = made
    broken = tmp_path / "feature_store" / "sales"
    broken.mkdir(parents=True)
    (broken / "online.db").write_text("this is no database")
    monkeypatch.setenv(STORE_VARIABLE, os.fspath(tmp_path))
    asked = {"shop": newest["shop"], **{name: newest[name] for name in REQUEST}}
    with answering(bundle) as client:
        answer = post(client, "/predict_online", asked)
        assert answer.status_code == 503
        assert os.fspath(tmp_path) not in answer.text
        assert client.get("/readyz").status_code == 503
    assert "the online feature store cannot be read" in caplog.text
