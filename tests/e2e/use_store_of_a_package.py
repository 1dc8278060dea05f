"""Use the online store that a project's YAML names, in a process of its own; prints what came out as JSON.

python use_store_of_a_package.py CONF DATA
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner

from proml_kedro.cli import cli
from proml_kedro.project import Project

HEADER = "customer,event_timestamp,spent_7d,spent_all,orders_7d"


def features(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(cli, ["features", *arguments, f"data_dir={DATA}", "--conf-source", CONF], input=stdin)


def get(customer: str, at: str) -> dict[str, Any]:
    answer = features("get", f"customer={customer}", "--at", at, "--json")
    found: dict[str, Any] = json.loads(answer.stdout)["features"]
    return found


def main() -> None:
    newest = (
        pq.read_table(Path(DATA, "shop", "feature_tables", "orders.parquet")).sort_by("event_timestamp").to_pylist()
    )
    customer, moment = newest[-1]["customer"], newest[-1]["event_timestamp"].isoformat()
    later = "2024-09-01T00:00:00+00:00"
    result: dict[str, Any] = {"got": get(customer, later)}
    result["pushed"] = features("push", "orders", "-", stdin=f"{HEADER}\n{customer},{later},9,123456.5,2\n").stdout
    result["after"] = get(customer, later)
    result["late"] = features("push", "orders", "-", stdin=f"{HEADER}\n{customer},{moment},1,1,1\n").stdout
    result["check"] = features("check", "--json").exit_code
    result |= serve(customer, later)
    sys.stdout.write(f"{json.dumps(result)}\n")


def serve(customer: str, at: str) -> dict[str, Any]:
    from datetime import datetime

    from proml_kedro.serving.requirements import needed_modules, pins
    from proml_kedro.serving.scorer import BundleScorer

    bundle = Project(CONF, [f"data_dir={DATA}"]).run(results=("bundle",))["bundle"]
    scorer = BundleScorer(bundle.path)
    brought = {"visit.pages": 12, "visit.device": "phone"}
    row = {"customer": customer, **brought, "timestamp": datetime.fromisoformat(at)}
    looked_up = {"orders.spent_7d": 9.0, "orders.spent_all": 123456.5, "orders.orders_7d": 2}
    return {
        "served": scorer.score_online([row])[0],
        "expected": scorer.score([{**brought, **looked_up}])[0],
        "without": scorer.score([{**brought, **dict.fromkeys(looked_up, None)}])[0],
        "pins": pins(needed_modules(scorer.bundle.manifest)),
    }


if __name__ == "__main__":
    CONF, DATA = sys.argv[1:]
    main()
