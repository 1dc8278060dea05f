"""The files of `monitoring/` are true: the workflow's steps run, and servers show every metric and label."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from proml_kedro.serving.metrics import Metrics
from small import make_bundle, write_training_set

FOLDER = Path(__file__).parents[3] / "monitoring"
WORKFLOW = yaml.safe_load((FOLDER / "ci" / "drift.yml").read_text())
DASHBOARD = json.loads((FOLDER / "grafana" / "serving.json").read_text())
(RULES,) = yaml.safe_load((FOLDER / "prometheus" / "alerts.yml").read_text())["groups"]
ALERTS = RULES["rules"]
DRAWN = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES = [*DRAWN, *(one["expr"] for one in ALERTS)]


@pytest.fixture(scope="module")
def shown():
    """Name of each sample that a server shows → the names of its labels."""
    metrics = Metrics(["/v1/score"], is_probability=True)
    with metrics.request("/v1/score") as status:
        status.append(200)
    metrics.scored("/v1/score", [0.1, 0.9], missing=1, expired=1)
    metrics.lost(1)
    families = text_string_to_metric_families(metrics.text().decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


@pytest.mark.parametrize("query", QUERIES)
def test_every_metric_and_label_is_one_that_a_server_shows(shown, query):
    named = set(re.findall(r"\bproml_\w+", query))
    assert named
    assert named <= shown.keys()
    labels = set().union(*(shown[name] for name in named))
    grouped = re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query)))
    assert {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query), *grouped} <= labels
    assert query.count("(") == query.count(")")


def test_every_metric_of_a_server_is_on_the_dashboard(shown):
    own = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in shown}
    named = re.findall(r"proml_\w+", " ".join(DRAWN))
    drawn = {re.sub(r"_(total|bucket|count|sum)$", "", one) for one in named}
    assert own == drawn


def test_an_alert_says_what_it_asks_of_one():
    assert len(ALERTS) == len({one["alert"] for one in ALERTS}) >= 5
    assert all(one["annotations"].keys() == {"summary", "action"} for one in ALERTS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    rows = pq.read_table(write_training_set(folder / "rows.parquet", 1600))
    place, wrong = rows.column_names.index("visit.price"), pc.multiply(rows["visit.price"], 1000.0)
    pq.write_table(rows.set_column(place, "visit.price", wrong), folder / "wrong.parquet")
    return make_bundle(folder), folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("current", "codes"), [("rows.parquet", [0, 0, 0]), ("wrong.parquet", [0, 0, 1]), ("none", [0, 2])]
)
def test_each_step_of_the_workflow_does_what_it_says(files, tmp_path, current, codes):
    """As the runner does it: each `run:` in bash, and no further step after one that fails."""
    bundle, folder = files
    job = WORKFLOW["jobs"]["check"]
    assert job["env"].keys() == {"REFERENCE", "CURRENT"}
    page = tmp_path / "page.md"
    environment = {
        **os.environ, "REFERENCE": str(bundle), "CURRENT": str(folder / current), "GITHUB_STEP_SUMMARY": str(page),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    found = []
    for step in (one["run"] for one in job["steps"] if "run" in one):
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step]
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True)
        found.append(done.returncode)
        if found[-1]:
            break
    assert found == codes
    if len(codes) == 3:
        kept = next(one["with"]["path"] for one in job["steps"] if "upload-artifact" in one.get("uses", ""))
        assert {"drift.json", "drift.md", "drift.xml"} <= {one.name for one in (tmp_path / kept).iterdir()}
        assert json.loads((tmp_path / kept / "drift.json").read_text())["words"] in page.read_text()
