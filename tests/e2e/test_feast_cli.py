"""Feast's own commands inside ``feature_repo``, on the real flights."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kedro_process import run_feast
from proml_kedro.config import HydraConfigLoader
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.views.compute import compute_views
from proml_kedro.workflow import Run

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
FEAST = str(Path(sys.executable).with_name("feast"))


ON_DEMAND = """
gaps:
  source: on_demand
  features:
    pace: {dtype: float, expression: "flight.distance / nullif(origin_delays.delay_3h, 0)"}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose features are not computed yet."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("conf", "feature_repo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    with (folder / "conf" / "features" / "flight_delays.yaml").open("a") as file:
        file.write(ON_DEMAND)
    return folder


@pytest.fixture(scope="module")
def computed(project: Path) -> Path:
    """The project after its features were computed, without a registry."""
    run = HydraConfigLoader(project / "conf").loaded.run
    tables, views = project / "tables", project / "data" / "flight_delays" / "feature_tables"
    for one in (tables, views):
        one.mkdir(parents=True)
    read_tables(run.problem, run.features, project, run.hardware, tables)
    compute_views(run.problem, run.features, tables, run.hardware, views)
    return project


def feast(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_feast(arguments, project / "feature_repo")


def test_without_feature_tables_it_says_what_to_do(project: Path) -> None:
    result = feast(project, "plan")
    assert result.returncode == 2
    assert "`kedro run --pipelines=features`" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_apply_list_and_nothing_left_to_do(computed: Path) -> None:
    applied = feast(computed, "apply")
    assert applied.returncode == 0, applied.stderr
    assert "flight_delays_xgboost" in feast(computed, "feature-services", "list").stdout
    views = feast(computed, "feature-views", "list").stdout
    assert all(name in views for name in ("weather", "plane_delays", "carrier_origin_delays"))
    entities = feast(computed, "entities", "list").stdout
    assert all(name in entities for name in ("tailnum", "carrier", "origin", "dest"))
    assert "pace" in feast(computed, "on-demand-feature-views", "describe", "gaps").stdout
    assert "No changes to registry" in feast(computed, "plan").stdout
    again = feast(computed, "apply")
    assert again.returncode == 0
    assert not [line for line in again.stdout.splitlines() if line.startswith(("Created", "Updated", "Deleted"))]


def _tables(project: Path) -> Path:
    return project / "data" / "flight_delays" / "feature_tables"


def test_applying_keeps_the_services_of_other_models(computed: Path) -> None:
    run = HydraConfigLoader(computed / "conf").loaded.run
    store = open_repository(run.problem, run.features, computed / "data", run.hardware)
    register(store, run.problem, run.features, "flight_delays_other", {"weather.visib": "float"}, _tables(computed))
    assert feast(computed, "apply").returncode == 0
    services = feast(computed, "feature-services", "list").stdout
    assert "flight_delays_other" in services
    assert "flight_delays_xgboost" in services


def test_removing_what_a_bundle_reads_is_refused(computed: Path) -> None:
    bundle = computed / "data" / "flight_delays" / "xgboost" / "bundle"
    bundle.mkdir(parents=True)
    inputs = [{"name": "weather.snow", "dtype": "float", "request": False}]
    (bundle / "proml.yaml").write_text(json.dumps({"name": "f", "version": "v1", "schema": {"inputs": inputs}}))
    try:
        refused = feast(computed, "apply")
    finally:
        shutil.rmtree(bundle)
    assert refused.returncode == 2
    assert "'weather.snow' is no longer declared" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_run_registers_the_same(computed: Path) -> None:
    run = Run.of(HydraConfigLoader(computed / "conf").loaded.run, computed)
    shutil.rmtree(computed / "data" / "feature_store", ignore_errors=True)
    store = open_repository(run.spec.problem, run.spec.features, computed / "data", run.spec.hardware)
    tables = run.places.at("feature_tables")
    register(store, run.spec.problem, run.spec.features, run.service_name, run.columns, tables)
    assert "No changes to registry" in feast(computed, "plan").stdout


VERBS = """
configuration; data-sources list; features list; feature-views list-versions plane; feature-views disable plane
feature-views enable plane; permissions check; projects describe flight_delays; registry-dump; saved-datasets list
delete nothing; materialize-incremental 2013-12-31T00:00:00 -v plane
"""


def test_every_verb_works(computed: Path) -> None:
    assert feast(computed, "apply").returncode == 0
    for verb in VERBS.replace("\n", ";").split(";"):
        if words := verb.split():
            done = feast(computed, *words)
            assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (0, False), (
                f"{verb}: {done.stdout[-300:]} {done.stderr[-300:]}"
            )


def test_values_are_those_of_the_feature_table(computed: Path) -> None:
    """Both stores, asked by Feast's own commands, against DuckDB over the file."""
    assert feast(computed, "apply").returncode == 0
    period = ("2013-01-01T00:00:00", "2014-01-01T00:00:00")
    assert feast(computed, "materialize", *period, "-v", "origin_delays").returncode == 0
    file = computed / "data" / "flight_delays" / "feature_tables" / "origin_delays.parquet"

    def known(until: str) -> Any:
        query = f"FROM '{file}' SELECT delay_24h WHERE origin = 'JFK' AND event_timestamp <= '{until}+00'"
        return duckdb.sql(f"{query} ORDER BY event_timestamp DESC LIMIT 1").fetchall()[0][0]

    asked = ("-f", "origin_delays:delay_24h")
    online = json.loads(feast(computed, "get-online-features", "-e", "origin=JFK", *asked).stdout)
    assert online["delay_24h"] == [pytest.approx(known("2014-01-01 00:00:00"))]
    rows = json.dumps([{"event_timestamp": "2013-05-01T12:00:00", "origin": "JFK"}])
    past = json.loads(feast(computed, "get-historical-features", "-d", rows, *asked).stdout)
    assert past[0]["delay_24h"] == pytest.approx(known("2013-05-01 12:00:00"))


def test_monitoring_measures_and_marks_a_baseline(computed: Path) -> None:
    assert feast(computed, "apply").returncode == 0
    result = feast(computed, "monitor", "run", "--feature-view", "plane", "--granularity", "daily", "--set-baseline")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Status: completed" in result.stdout
    again = feast(computed, "monitor", "run", "--feature-view", "plane", "--granularity", "daily", "--set-baseline")
    assert again.returncode == 0, again.stdout + again.stderr
    measured = list((computed / "data" / "feature_store" / "feast_monitoring").glob("*.parquet"))
    assert measured
    assert not list((computed / "feature_repo").rglob("*.parquet")), "nothing lies among the sources"


def test_ui_on_this_machine_only(computed: Path) -> None:
    pytest.importorskip("grpc_health", reason="`feast ui` needs the extra feast[grpcio]")
    feast(computed, "apply")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [FEAST, "ui", "--host", "127.0.0.1", "--port", str(port)],
        cwd=computed / "feature_repo",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert b"<html" in fetch(server, f"http://127.0.0.1:{port}/").lower()
    finally:
        server.terminate()
        server.wait(timeout=300)


def fetch(server: subprocess.Popen[bytes], url: str) -> bytes:
    """The page, as soon as the server answers."""
    deadline = time.monotonic() + 600
    while True:
        assert server.poll() is None, "the server has stopped"
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                return bytes(response.read())
        except OSError:
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.5)
