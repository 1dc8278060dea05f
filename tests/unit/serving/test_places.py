"""Parts of the scoring at places: the same scores to the last bit, and places that do whatever they should not."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from places import MIXED, Answered, CutError, frame, placed, rogue
from proml_kedro.errors import UserError
from proml_kedro.serving.http.application import Options, make_application
from proml_kedro.serving.places.elsewhere import Elsewhere
from proml_kedro.serving.places.place import PlaceMetrics
from proml_kedro.serving.places.wire import WireError, pack, unpack
from proml_kedro.serving.prediction_log import open_log
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec import PlaceSpec, PredictionLogSpec
from small import make_bundle

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("placed"), components=MIXED)


@pytest.fixture(scope="module")
def scorer(bundle: Path) -> BundleScorer:
    return BundleScorer(bundle)


@pytest.fixture(scope="module")
def rows(bundle: Path, scorer: BundleScorer) -> Rows:
    return golden_rows(bundle, scorer.bundle.manifest)


def spec(url: str, *components: str, **changes: Any) -> PlaceSpec:
    fields: dict[str, Any] = {"components": components or ("personal",), "timeout_ms": 5000, **changes}
    return PlaceSpec.model_validate({"url": url, **fields})


@contextmanager
def front(bundle: Path, **places: PlaceSpec) -> Iterator[TestClient]:
    """A server that asks places, as a worker makes it."""
    own, registry = BundleScorer(bundle), CollectorRegistry()
    elsewhere = Elsewhere(own, places, PlaceMetrics(registry))
    options = Options(elsewhere=elsewhere, registry=registry, online=False)
    with TestClient(make_application(own, own.bundle.manifest.serving, options)) as client:
        yield client
    elsewhere.close()


def predict(client: TestClient, rows: Rows) -> dict[str, Any]:
    answer = client.post("/predict", json={"instances": rows})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def without_keys(scorer: BundleScorer, rows: Rows) -> list[float]:
    """What the model says of rows whose shop is not known: the fallback of a component that reads it."""
    return scorer.find([{**row, "shop": None} for row in rows]).scores


def figure(client: TestClient, name: str) -> float:
    return sum(map(float, re.findall(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)))


@pytest.mark.parametrize("components", [("personal",), ("trees",), ("trees", "personal")])
def test_scores_are_the_same_to_the_last_bit(
    components: tuple[str, ...], bundle: Path, scorer: BundleScorer, rows: Rows
) -> None:
    with (
        placed(bundle, spec("http://127.0.0.1:1", *components)) as url,
        front(bundle, one=spec(url, *components)) as client,
    ):
        for part in (rows, rows[:1], rows[3:8]):
            said = predict(client, part)
            assert said["probabilities"] == scorer.find(part).scores
            assert "degraded" not in said
        assert client.get("/readyz").json() == {"status": "ready", "model": scorer.bundle.manifest.tag}


def test_many_requests_at_once_are_scored_as_one_by_one(bundle: Path, scorer: BundleScorer, rows: Rows) -> None:
    expected = [scorer.find([row]).scores for row in rows]
    found: list[list[float]] = []
    with placed(bundle, spec("http://127.0.0.1:1", "trees")) as url, front(bundle, one=spec(url, "trees")) as client:

        def ask() -> None:
            found.append([predict(client, [row])["probabilities"] for row in rows])

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert found == [expected] * 8


def test_a_place_that_is_down_degrades_as_declared(bundle: Path, scorer: BundleScorer, rows: Rows) -> None:
    nobody = "http://127.0.0.1:1"
    with front(bundle, one=spec(nobody, on_failure="fallback")) as client:
        said = predict(client, rows)
        assert said["degraded"] == ["one"]
        assert said["probabilities"] == without_keys(scorer, rows)
        assert said["probabilities"] != scorer.find(rows).scores
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["degraded"]) == (200, ["one"])
        assert figure(client, 'proml_degraded_rows_total{place="one"}') == len(rows)
        assert figure(client, 'proml_place_requests_total{outcome="failed",place="one"}') == 1
    with front(bundle, one=spec(nobody)) as client:
        answer = client.post("/predict", json={"instances": rows})
        assert answer.status_code == 503
        assert "the place 'one' does not answer" in answer.json()["error"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "not ready")


def test_the_log_says_which_rows_were_scored_without_a_place(bundle: Path, rows: Rows, tmp_path: Path) -> None:
    own, registry = BundleScorer(bundle), CollectorRegistry()
    log = open_log(PredictionLogSpec(folder=str(tmp_path)), own.bundle)
    places = {"one": spec("http://127.0.0.1:1", on_failure="fallback")}
    options = Options(
        elsewhere=Elsewhere(own, places, PlaceMetrics(registry)), registry=registry, online=False, log=log
    )
    with TestClient(make_application(own, own.bundle.manifest.serving, options)) as client:
        scores = predict(client, rows)["probabilities"]
    log.close()
    (file,) = tmp_path.glob("predictions-*.parquet")
    logged = pq.read_table(file)
    assert logged["degraded"].to_pylist() == [["one"]] * len(rows)
    assert logged["score"].to_pylist() == logged["components.personal.probability"].to_pylist() == scores


def test_a_component_without_keys_falls_back_to_what_it_says_of_nothing(
    bundle: Path, scorer: BundleScorer, rows: Rows
) -> None:
    nothing = dict.fromkeys(rows[0])
    expected = scorer.find([{**nothing, "shop": row["shop"]} for row in rows]).scores
    with front(bundle, one=spec("http://127.0.0.1:1", "trees", on_failure="fallback")) as client:
        assert predict(client, rows)["probabilities"] == expected


OUTPUTS = ("personal.margin", "personal.probability")


def scores(asked: dict[str, Any], value: float = 0.25, rows: int | None = None) -> bytes:
    """An answer of `personal` with this value in all rows; or to whoever looks whether the place is there."""
    count = asked["rows"] if rows is None else rows
    columns, body = pack({one: np.full(count, value) for one in (OUTPUTS if asked["do"] == "score" else ())})
    return frame({"status": 200, "rows": count, "columns": columns}, body)


def late(asked: dict[str, Any], body: bytes) -> bytes:
    time.sleep(0.5)
    return scores(asked)


def described(asked: dict[str, Any], columns: Any) -> bytes:
    return frame({"status": 200, "rows": asked["rows"], "columns": columns})


def cut(asked: dict[str, Any], body: bytes) -> bytes:
    raise CutError(scores(asked)[:-20])


WRONG: dict[str, tuple[Answered, str]] = {
    "late": (late, "it does not answer in time"),
    "cut off": (cut, "its answer is cut off"),
    "half of the rows": (lambda asked, body: scores(asked, rows=10), "its answer has not 20 rows"),
    "half, said to be all": (
        lambda asked, body: scores(asked, rows=10).replace(b'"rows":10', b'"rows":20'),
        "'personal.margin' has not 20 rows",
    ),
    "not a number": (lambda asked, body: scores(asked, float("nan")), "is not finite"),
    "infinite": (lambda asked, body: scores(asked, float("inf")), "is not finite"),
    "no head": (lambda asked, body: b"\0\0\0\4\0\0\0\0{..}", "its answer has no head"),
    "a head that is no object": (lambda asked, body: b"\0\0\0\2\0\0\0\0[]", "its answer has no head"),
    "an endless answer": (lambda asked, body: b"\xff" * 64, "its answer is too large"),
    "other columns": (lambda asked, body: described(asked, []), "it has other columns"),
    "a description that is none": (lambda asked, body: described(asked, 7), "it is no description of columns"),
    "a type that is not sent": (
        lambda asked, body: described(asked, [[OUTPUTS[0], "|O", [], 0]]),
        "is of a type that is not sent",
    ),
    "a fault": (lambda asked, body: frame({"status": 500, "error": "no"}), "no"),
    "nothing": (lambda asked, body: None, "ConnectionResetError"),
    "http": (lambda asked, body: b"HTTP/1.1 200 OK\r\n\r\n", "its answer is too large"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_is_never_used(name: str, bundle: Path, scorer: BundleScorer, rows: Rows) -> None:
    answered, why = WRONG[name]
    with rogue(answered) as url:
        with front(bundle, one=spec(url, on_failure="fallback", timeout_ms=200)) as client:
            said = predict(client, rows)
            assert said["degraded"] == ["one"]
            assert said["probabilities"] == without_keys(scorer, rows)
        with front(bundle, one=spec(url, timeout_ms=200)) as client:
            answer = client.post("/predict", json={"instances": rows})
            assert answer.status_code == 503
            assert why in answer.json()["error"]


def test_an_answer_that_is_one_is_used(bundle: Path, rows: Rows) -> None:
    with rogue(lambda asked, body: scores(asked)) as url, front(bundle, one=spec(url)) as client:
        assert predict(client, rows)["probabilities"] == [0.25] * len(rows)


def test_a_late_answer_is_not_taken_for_that_of_the_next_request(bundle: Path, rows: Rows) -> None:
    seen: list[int] = []

    def answered(asked: dict[str, Any], body: bytes) -> bytes:
        seen.append(asked["rows"])
        if len(seen) == 1:
            time.sleep(0.4)
        return scores(asked, len(seen) / 10)

    with rogue(answered) as url, front(bundle, one=spec(url, on_failure="fallback", timeout_ms=200)) as client:
        assert predict(client, rows[:2])["degraded"] == ["one"]
        time.sleep(0.4)
        assert predict(client, rows[:2])["probabilities"] == [0.2, 0.2]


def test_another_bundle_at_the_place_is_refused(bundle: Path, scorer: BundleScorer, rows: Rows, tmp_path: Path) -> None:
    other = make_bundle(tmp_path, components=MIXED, version="v2")
    with (
        placed(other, spec("http://127.0.0.1:1")) as url,
        front(bundle, one=spec(url, on_failure="fallback")) as client,
    ):
        said = predict(client, rows)
        assert (said["degraded"], said["probabilities"]) == (["one"], without_keys(scorer, rows))
        assert figure(client, 'proml_place_requests_total{outcome="refused",place="one"}') == 1


def test_a_place_wants_its_token(
    bundle: Path, scorer: BundleScorer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    with placed(bundle, spec("http://127.0.0.1:1"), token="secret") as url:
        for token, is_degraded in (("wrong", True), ("secret", False)):
            monkeypatch.setenv("PROML_API_TOKEN", token)
            with front(bundle, one=spec(url, on_failure="fallback")) as client:
                assert ("degraded" in predict(client, rows)) == is_degraded


def test_a_place_that_dies_and_comes_back_is_asked_again(bundle: Path, scorer: BundleScorer, rows: Rows) -> None:
    there = spec("http://127.0.0.1:1")
    with placed(bundle, there) as url:
        port = int(url.rpartition(":")[2])
        own = spec(url, on_failure="fallback")
        entered = front(bundle, one=own)
        client = entered.__enter__()
        assert "degraded" not in predict(client, rows)
    try:
        for _ in range(7):
            assert predict(client, rows)["degraded"] == ["one"]
        asked = figure(client, 'proml_place_requests_total{outcome="failed",place="one"}')
        assert asked == 5, "after five failures it rests"
        with placed(bundle, there, port=port):
            deadline = time.monotonic() + 20
            while "degraded" in predict(client, rows):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert predict(client, rows)["probabilities"] == scorer.find(rows).scores
    finally:
        entered.__exit__(None, None, None)


def test_a_place_restarts_between_two_requests_and_neither_notices(
    bundle: Path, scorer: BundleScorer, rows: Rows
) -> None:
    there = spec("http://127.0.0.1:1")
    with placed(bundle, there) as url:
        entered = front(bundle, one=spec(url))
        client = entered.__enter__()
        predict(client, rows)
    try:
        with placed(bundle, there, port=int(url.rpartition(":")[2])):
            assert predict(client, rows)["probabilities"] == scorer.find(rows).scores
    finally:
        entered.__exit__(None, None, None)


def test_the_answer_of_an_explanation_says_where_it_would_be(bundle: Path, rows: Rows) -> None:
    with front(bundle, one=spec("http://127.0.0.1:1")) as client:
        answer = client.post("/explain", json={"instances": rows[:1]})
        assert (answer.status_code, "at a place" in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"a": {"components": ["persona"], "url": "http://h:1"}}, "Did you mean 'personal'?"),
        (
            {"a": {"components": ["trees"], "url": "http://h:1"}, "b": {"components": ["trees"], "url": "http://h:2"}},
            "trees is done at 'a' too",
        ),
        (
            {"a": {"features": True, "url": "http://h:1"}, "b": {"components": ["trees"], "url": "http://h:1"}},
            "one port is for one place",
        ),
    ],
)
def test_places_that_fit_no_model(places: dict[str, Any], said: str, scorer: BundleScorer) -> None:
    specs = {name: PlaceSpec.model_validate(one) for name, one in places.items()}
    with pytest.raises(UserError, match=re.escape(said)):
        Elsewhere(scorer, specs, PlaceMetrics(CollectorRegistry()))


@pytest.mark.parametrize("url", ["https://h:1", "http://h", "http://h:1/x", "http://a:b@h:1", "h:1", "http://h:x"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="write a host and a port"):
        spec(url)


def test_columns_survive_the_wire() -> None:
    columns = {
        "a": np.array([1.5, np.nan, -0.0], np.float32),
        "b": np.array([[1e300, np.inf], [0.1, -np.nan], [5e-324, 2]]),
        "c": np.array(["é", None, ""], object),
        "d": np.arange(3),
    }
    described, body = pack(columns)
    found = unpack(json.loads(json.dumps(described)), body, 3)
    for name, values in columns.items():
        if values.dtype == object:
            assert found[name].tolist() == values.tolist()
        else:
            assert (found[name].dtype, found[name].tobytes()) == (values.dtype, values.tobytes())
    for broken, rows in ((body[:-1], 3), (body + b"x", 3), (body, 2), (body, 4)):
        with pytest.raises(WireError):
            unpack(described, broken, rows)
    with pytest.raises(WireError):
        pack({"a": np.array([True])})
