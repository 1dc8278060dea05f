"""The application of `kedro serve`: golden rows, refusals, and nothing that grows by what clients write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from proml_kedro.serving.http.application import PATHS, Options, make_application
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from small import make_bundle
from tiers import examples

TOKEN = "a token of some length"


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> BundleScorer:
    return BundleScorer(make_bundle(tmp_path_factory.mktemp("served"), max_rows=200))


def figures(client: TestClient, **headers: str) -> dict[str, float]:
    """What is counted so far; where another library lets processes share their figures, those before count too."""
    text = client.get("/metrics", headers=headers).text
    return {name: float(value) for name, value in re.findall(r"^(proml_\S+?) (\S+)$", text, re.MULTILINE)}


def open_client(scorer: BundleScorer, **options: Any) -> TestClient:
    spec = scorer.bundle.manifest.serving
    return TestClient(make_application(scorer, spec, Options(**options)), raise_server_exceptions=False)


@pytest.fixture
def client(scorer: BundleScorer) -> Iterator[TestClient]:
    with open_client(scorer) as one:
        yield one


@pytest.fixture(scope="module")
def rows(scorer: BundleScorer) -> list[dict[str, Any]]:
    return golden_rows(scorer.bundle.path, scorer.bundle.manifest)


def test_golden_rows(client: TestClient, scorer: BundleScorer, rows: list[dict[str, Any]]) -> None:
    expected = pq.read_table(scorer.bundle.path / "golden.parquet")["probability"].to_numpy()
    answer = client.post("/predict", json={"instances": rows})
    assert answer.status_code == 200
    np.testing.assert_allclose(answer.json()["probabilities"], expected, rtol=0, atol=1e-9)
    assert answer.json()["missing"] == [sum(value is None for value in row.values()) for row in rows]
    assert answer.json()["model"] == scorer.bundle.manifest.tag


def test_figures_do_not_grow_by_what_clients_write(client: TestClient) -> None:
    client.get("/nothing")
    lines = client.get("/metrics").text.count("\n")
    for number in range(500):
        client.get(f"/nothing/{number}?x={number}")
        client.request("PROPFIND", f"/{number}", headers={f"x-{number}": "y"})
    after = client.get("/metrics").text
    assert after.count("\n") - lines <= 60  # two statuses of one route, and what was asked meanwhile
    assert set(re.findall(r'route="([^"]*)"', after)) <= {*PATHS, "other"}


def test_scores_are_counted_by_bands(scorer: BundleScorer, rows: list[dict[str, Any]]) -> None:
    with open_client(scorer) as client:
        before = figures(client)
        scores = client.post("/predict", json={"instances": rows}).json()["probabilities"]
        after = figures(client)
    wanted = np.histogram(scores, bins=20, range=(0, 1))[0]
    names = [f'proml_scores_total{{band="{number / 20:.2f}"}}' for number in range(20)]
    assert [after.get(name, 0) - before.get(name, 0) for name in names] == wanted.tolist()


def test_those_without_a_token_are_counted_too(scorer: BundleScorer, rows: list[dict[str, Any]]) -> None:
    allowed = {"authorization": f"Bearer {TOKEN}"}
    with open_client(scorer, token=TOKEN) as client:
        before = figures(client, **allowed)
        for headers, status in (({}, 401), (allowed, 200)):
            assert client.post("/predict", json={"instances": rows[:1]}, headers=headers).status_code == status
        assert client.get("/metrics").status_code == 401
        after = figures(client, **allowed)
        for status in (401, 200):
            name = f'proml_requests_total{{route="/predict",status="{status}"}}'
            assert after[name] - before.get(name, 0) == 1
        assert client.get("/livez").status_code == 200


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def test_the_description_is_whole(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == set(PATHS)
    assert {"401", "413", "415", "422", "503", "504"} <= set(described["paths"]["/predict"]["post"]["responses"])
    for reference in references(described):
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_page_needs_no_network(client: TestClient) -> None:
    text = client.get("/").text
    assert not re.search(r"https?://|<script|src=", text)
    assert all(path in text for path in PATHS)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 405), ("POST", "/metadata", 405), ("GET", "/predict/", 404), ("GET", "/livez/x", 404)],
)
def test_paths_and_methods(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, json={} if method == "POST" else None, follow_redirects=False)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(max_size=10), one, max_size=4),
    max_leaves=12,
)
INPUTS = ("visit.city", "visit.shop", "visit.price", "visit.items", "visit.member", "traffic.visits_3h", "shop")


@examples(60, 600)
@given(
    body=st.one_of(
        st.binary(max_size=60),
        JSON.map(lambda one: json.dumps(one).encode()),
        st.lists(st.dictionaries(st.sampled_from(INPUTS), JSON, max_size=7), max_size=3).map(
            lambda rows: json.dumps({"instances": rows}).encode()
        ),
        st.tuples(JSON, st.lists(st.dictionaries(st.sampled_from(INPUTS), JSON, max_size=7), max_size=3)).map(
            lambda both: json.dumps({"common": both[0], "candidates": both[1]}).encode()
        ),
    ),
    path=st.sampled_from(["/predict", "/predict_online", "/rank", "/features", "/other", "/metadata"]),
    kind=st.sampled_from(["application/json", "text/plain", "application/json; charset=x", ""]),
)
def test_malformed_bodies_are_refused_and_the_server_stays_right(
    scorer: BundleScorer, rows: list[dict[str, Any]], body: bytes, path: str, kind: str
) -> None:
    with open_client(scorer) as client:
        answer = client.post(path, content=body, headers={"content-type": kind})
        described = client.get("/openapi.json").json()["paths"].get(path, {}).get("post", {}).get("responses", {})
        assert str(answer.status_code) in {*described, "404", "405", "415"}
        assert answer.status_code not in (500, 502, 504)
        assert answer.headers["content-type"] == "application/json"
        right = client.post("/predict", json={"instances": rows[:1]})
        assert right.status_code == 200


def test_it_is_said_how_many_problems_are_not_listed(client: TestClient, rows: list[dict[str, Any]]) -> None:
    answer = client.post("/predict", json={"instances": [{**rows[0], "visit.price": "x"}] * 33}).json()
    assert answer["error"] == "33 problems, 20 of which are listed; nothing was scored"
    assert len(answer["problems"]) == 20


@pytest.mark.parametrize("path", ["/metadata", "/nothing"])
def test_the_format_of_a_body_that_nobody_reads_does_not_matter(client: TestClient, path: str) -> None:
    answer = client.post(path, content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == (405 if path == "/metadata" else 404)


def test_a_fault_of_ours_says_where_and_no_value(
    scorer: BundleScorer,
    rows: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(rows: object) -> None:
        raise ValueError(str(rows))

    monkeypatch.setattr(scorer, "find", fail)
    application = make_application(scorer, scorer.bundle.manifest.serving, Options())
    with TestClient(application) as client:  # which would raise what the application raises
        answer = client.post("/predict", json={"instances": [{**rows[0], "visit.city": "Secretville"}]})
    assert answer.status_code == 500
    assert answer.json() == {"error": "scoring failed; the server's log says where"}
    assert "scoring failed: ValueError" in caplog.text
    assert "Secretville" not in caplog.text + capfd.readouterr().err


class Broken:
    """Stands where the prediction log does."""

    on_loss: Any = None

    def write(self, record: Any) -> None:
        raise ValueError(str(record.asked))


def test_a_fault_beside_scoring_is_answered_in_the_same_way(
    scorer: BundleScorer,
    rows: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options: Any = Options(log=Broken())  # type: ignore[arg-type]
    with TestClient(make_application(scorer, scorer.bundle.manifest.serving, options)) as client:
        answer = client.post("/predict", json={"instances": [{**rows[0], "visit.city": "Secretville"}]})
    assert (answer.status_code, answer.json()) == (500, {"error": "scoring failed; the server's log says where"})
    assert "scoring failed: ValueError" in caplog.text
    assert "Secretville" not in caplog.text + capfd.readouterr().err


def test_values_of_requests_are_not_logged(
    client: TestClient, rows: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    for row in (
        {**rows[0], "visit.price": "Secretville"},
        {"Secretville": 1},
        {**rows[0], "visit.city": "Secretville"},
    ):
        answer = client.post("/predict", json={"instances": [row]})
        if "visit.price" in row:
            assert "Secretville" not in answer.text
    assert "Secretville" not in caplog.text
