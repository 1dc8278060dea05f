"""`kedro features …` as a user types it, on a problem that was run, and on one whose tables grow."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kedro_process import run_kedro

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")


def features(shop, *arguments):
    options = ["--conf-source", str(shop.conf), f"data_dir={shop.data}"]
    return run_kedro(["features", *arguments, *options], ROOT, shop.environment)


def test_a_run_says_whether_serving_reads_what_training_reads(finished_shop):
    assert "Online values: 0 of 2" in finished_shop.environment["PACKAGED_OUTPUT"]
    result = json.loads((finished_shop.result("consistency") / "consistency.json").read_text())
    assert result["mismatches"] == 0
    assert result["present"] == 80 * 3, "customers × features"


def test_search_and_describe_know_the_results(finished_shop):
    done = features(finished_shop, "search", "spent", "--entity", "customer", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["features"]
    assert {one["name"] for one in found} == {"orders.spent_7d", "orders.spent_all"}
    assert all(one["bundles"].startswith("shop-xgboost:") and one["importance"] > 0 for one in found)
    done = features(finished_shop, "describe", "orders.spent_7d")
    assert done.returncode == 0, done.stderr
    assert "orders.csv [orders] -> orders -> orders.spent_7d -> " in done.stdout
    assert "of the examples" in done.stdout
    assert "2024-0" in done.stdout


def test_get_reads_what_the_run_stored(finished_shop):
    done = features(finished_shop, "get", "customer=c1", "--at", "2024-05-01T00:00Z", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)["features"]
    assert {one["state"] for one in values.values()} == {"good"}
    with (finished_shop.folder / "orders.csv").open() as stream:
        spent = sum(float(row["amount"]) for row in csv.DictReader(stream) if row["customer"] == "c1")
    assert values["orders.spent_all"]["value"] == pytest.approx(spent)


def test_check_and_validate_end_with_an_exit_code(finished_shop):
    done = features(finished_shop, "check", "--rows", "10")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "0 of 30 values differ, in 3 features")
    done = features(finished_shop, "validate")
    assert done.returncode == 0, done.stdout
    assert "warning: orders.spent_7d: has no description" in done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['kedro', 'features', '--help']\n"
        "from kedro.framework.cli.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'pandas', 'feast', 'duckdb', 'pyarrow', 'hydra', 'xgboost'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert "search" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


@pytest.mark.slow
def test_materializing_goes_on_where_it_was(shop):
    def run(*arguments):
        done = shop.run("--pipelines=features,materialize", *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def held():
        with closing(sqlite3.connect(shop.data / "feature_store" / "shop" / "online.db")) as connection:
            return connection.execute("SELECT view, until FROM ledger").fetchall()

    first = run()
    assert "online store: orders written anew" in first.stderr
    before = held()
    assert "online store:" not in run().stderr, "nothing to do"

    newest = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=29 * 5999)
    later = newest + timedelta(days=1)
    with (shop.folder / "visits.csv").open("a") as stream:
        stream.write(f"6000,c1,{(later + timedelta(hours=2)).isoformat()},3,phone,0\r\n")
    with (shop.folder / "orders.csv").open("a") as stream:
        stream.write(f"c1,{later.isoformat()},1000000\r\n")
    moved = run()
    assert "online store: orders moved on" in moved.stderr
    assert held()[0][1] > before[0][1]
    at = (later + timedelta(hours=2)).isoformat()
    values = json.loads(features(shop, "get", "customer=c1", "--at", at, "--json").stdout)["features"]
    assert values["orders.spent_7d"]["value"] > 1_000_000
    assert features(shop, "check").returncode == 0
