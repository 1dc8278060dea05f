"""What a service logs, and `kedro features check --log`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from proml_kedro.features.feast.materialize import materialize_new
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.online.lookup import OnlineFeatures
from proml_kedro.features.online.open import rows_at
from proml_kedro.serving.request_log import RequestLog
from proml_kedro.spec.features import FeaturesSpec
from shop import FEATURES, HARDWARE, Shop

END = datetime(2024, 3, 22, 13, 37, tzinfo=UTC)
VIEWS = ["price", "taste", "spending", "region"]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """A project, and the log of a service that was asked about many keys as of the moment the store was filled for."""
    folder = tmp_path_factory.mktemp("logged")
    shop = Shop(folder)
    project = make_project(folder)
    project.write("features/shop.yaml", yaml.safe_dump(FEATURES, sort_keys=False))
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(
        store, shop.problem, FeaturesSpec.model_validate(FEATURES), "shop_trees", shop.features.columns(), shop.views
    )
    materialize_new(store, shop.views, VIEWS, END, HARDWARE)
    columns = {name: dtype for name, dtype in shop.features.columns().items() if name.partition(".")[0] in VIEWS}
    reader = OnlineFeatures(rows_at(store.config.online_store.path, "shop"), shop.features, columns)
    keys = [{"user": user, "item": item} for user in (0, 1, 4, 77, None) for item in ("i0", "i1", "new", None)]
    log = RequestLog(folder / "requests.jsonl", "shop:v1")
    for one in keys:  # a request each
        log.write([one], [END], reader.read([one], END))
    project.log = folder / "requests.jsonl"
    return project


def test_a_line_has_keys_moment_and_features_and_belongs_to_its_owner(logged: Any) -> None:
    lines = [json.loads(line) for line in logged.log.read_text().splitlines()]
    assert len(lines) == 20
    first = lines[1]
    assert (first["model"], first["as_of"]) == ("shop:v1", END.isoformat())
    assert first["keys"] == {"user": 0, "item": "i1"}
    assert len(first["features"]["taste.embedding"]) == 3
    assert lines[-1]["features"]["price.price"] is None
    assert logged.log.stat().st_mode & 0o077 == 0


def test_what_agrees(logged: Any) -> None:
    done = logged.features("check", "--log", str(logged.log))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith("0 of ")
    result = json.loads(logged.features("check", "--log", str(logged.log), "--json").stdout)
    assert {one["feature"] for one in result["comparisons"]} >= {"price.price", "taste.embedding", "spending.visits_1d"}
    assert result["present"] > 50


def changed(logged: Any, tmp_path: Path, change: Any) -> Path:
    lines = [json.loads(line) for line in logged.log.read_text().splitlines()]
    for line in lines:
        change(line)
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return tmp_path / "log.jsonl"


def test_values_that_were_served_differently_are_found_and_not_shown(logged: Any, tmp_path: Path) -> None:
    def change(line: dict[str, Any]) -> None:
        if line["keys"] == {"user": 1, "item": "i1"}:
            line["features"] |= {"region.area": "elsewhere", "price.price": 1e6, "taste.embedding": [0.0, 0.0, 0.0]}

    file = changed(logged, tmp_path, change)
    done = logged.features("check", "--log", str(file), "--json")
    assert done.exit_code == 1
    wrong = {one["feature"]: one for one in json.loads(done.stdout)["comparisons"] if one["mismatches"]}
    assert {name: one["mismatches"] for name, one in wrong.items()} == dict.fromkeys(
        ("region.area", "price.price", "taste.embedding"), 1
    )
    assert "elsewhere" not in done.stdout
    assert '"i1"' not in done.stdout
    assert logged.features("check", "--log", str(file), "--rows", "5").exit_code == 0, "only the last five rows"


def test_a_store_that_was_behind_is_found(logged: Any, tmp_path: Path) -> None:
    def change(line: dict[str, Any]) -> None:
        line["as_of"] = (END + timedelta(hours=20)).isoformat()

    done = logged.features("check", "--log", str(changed(logged, tmp_path, change)), "--json")
    assert done.exit_code == 1
    wrong = {one["feature"] for one in json.loads(done.stdout)["comparisons"] if one["mismatches"]}
    assert "spending.total_1d" in wrong
    assert "region.area" not in wrong


@pytest.mark.parametrize("line", ["nothing", "{}", '{"as_of": "2024-01-01", "keys": {}, "features": {}}', "[1]"])
def test_a_line_that_is_none(logged: Any, tmp_path: Path, line: str) -> None:
    (tmp_path / "log.jsonl").write_text(logged.log.read_text() + line + "\n")
    done = logged.features("check", "--log", str(tmp_path / "log.jsonl"))
    assert (done.exit_code, done.stderr) == (2, "log.jsonl:21: no line of a request log\n")


def test_a_feature_that_is_gone(logged: Any, tmp_path: Path) -> None:
    file = changed(logged, tmp_path, lambda line: line["features"].update({"price.prise": 1.0}))
    done = logged.features("check", "--log", str(file))
    assert done.exit_code == 2
    wanted = "the log has the feature 'price.prise', which is not declared. Did you mean 'price.price'?\n"
    assert done.stderr == wanted


def test_a_log_that_cannot_be_written_keeps_nobody_waiting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog(tmp_path / "none" / "log.jsonl", "m")
    for _ in range(3):
        log.write([{"user": 1}], [END], {})
    assert [record.getMessage() for record in caplog.records] == [
        "requests cannot be logged: No such file or directory"
    ]
