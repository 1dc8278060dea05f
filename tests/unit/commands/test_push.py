"""`kedro features push`: fresh rows, at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from proml_kedro.features.feast.materialize import materialize_new
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.online.open import open_store
from proml_kedro.features.online.push import PushResult, push_rows
from proml_kedro.spec.features import FeaturesSpec
from shop import FEATURES, HARDWARE, Shop

END = datetime(2024, 3, 22, 13, 37, tzinfo=UTC)
LATER = END + timedelta(hours=1)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    folder = tmp_path_factory.mktemp("push")
    shop = Shop(folder)
    project = make_project(folder)
    project.write("features/shop.yaml", yaml.safe_dump(FEATURES, sort_keys=False))
    store = open_repository(shop.problem, shop.features, shop.data, HARDWARE)
    register(
        store, shop.problem, FeaturesSpec.model_validate(FEATURES), "shop_trees", shop.features.columns(), shop.views
    )
    materialize_new(store, shop.views, ["price", "taste", "spending"], END, HARDWARE)
    return project


def value(project: Any, item: str, name: str, at: datetime = LATER) -> Any:
    done = project.features("get", "--json", f"item={item}", "--features", name, "--at", at.isoformat())
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["features"][name]["value"]


def push(project: Any, text: str, view: str = "price", name: str = "fresh.csv") -> Any:
    file = project.folder / name
    file.write_text(text)
    return project.features("push", view, str(file))


def test_fresh_rows_are_read_at_once_and_late_ones_change_nothing(filled: Any) -> None:
    fresh = f"item,event_timestamp,price,label\ni1,{LATER:%Y-%m-%dT%H:%MZ},99.5,NEW\nnew,{LATER:%Y-%m-%dT%H:%MZ},,\n"
    done = push(filled, fresh)
    assert (done.exit_code, done.stdout) == (0, "price: 2 rows\n"), done.output
    assert value(filled, "i1", "price.price") == 99.5
    assert value(filled, "i1", "price.label") == "NEW"
    assert value(filled, "new", "price.price") is None
    late = push(filled, f"item,event_timestamp,price,label\ni1,{END:%Y-%m-%dT%H:%MZ},1,OLD\n")
    assert late.stdout == "price: 1 row, 1 of them older than what is there\n"
    assert value(filled, "i1", "price.price") == 99.5


def test_rows_from_standard_input(filled: Any) -> None:
    text = f"event_timestamp,item,label,price\n{LATER:%Y-%m-%dT%H:%MZ},i0,IN,12\n"
    done = filled.features("push", "price", "-", stdin=text)
    assert (done.exit_code, done.stdout) == (0, "price: 1 row\n"), done.output
    assert value(filled, "i0", "price.price") == 12.0


def test_a_parquet_file_with_vectors(filled: Any) -> None:
    table = pa.table({"item": ["i2", "i3"], "event_timestamp": [LATER] * 2, "embedding": [[1.0, 2.0, 3.0], None]})
    pq.write_table(table, filled.folder / "fresh.parquet")
    done = filled.features("push", "taste", str(filled.folder / "fresh.parquet"))
    assert done.exit_code == 0, done.output
    assert value(filled, "i2", "taste.embedding") == [1.0, 2.0, 3.0]
    assert value(filled, "i3", "taste.embedding") is None


def test_from_python(filled: Any) -> None:
    rows = open_store(filled.data / "feature_store" / "shop" / "online.db", "shop")
    view = FeaturesSpec.model_validate(FEATURES).views["price"]
    moment = LATER + timedelta(minutes=1)
    table = pa.table({"item": ["i4"], "event_timestamp": [moment], "price": [5], "label": ["x"]})
    assert push_rows(rows, "price", view, table, HARDWARE) == PushResult(rows=1, late=0)
    assert value(filled, "i4", "price.price", moment) == 5.0


HEAD = "item,event_timestamp,price,label\n"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (f"{HEAD}i1,2024-03-23T00:00Z,cheap,A\n", ["'price' of 'price': no DOUBLE in 1 row, first in row 1"]),
        (f"{HEAD}i1,2024-03-23,1,A\ni1,noon,1,A\n", ["'event_timestamp' of 'price': no TIMESTAMPTZ in 1 row"]),
        (
            f"{HEAD},2024-03-23,1,A\ni1,,1,A\n",
            ["'item' of 'price': missing in 1 row, first in row 1", "'event_timestamp' of 'price'"],
        ),
        ("item,event_timestamp,price\ni1,2024-03-23,1\n", ["the rows lack the column 'label' of the view 'price'"]),
        (
            "item,event_timestamp,price,label,prize\ni,2024-03-23,1,A,2\n",
            ["has no column 'prize'. Did you mean 'price'"],
        ),
        ("item,price,label\ni1,1,A\n", ["the rows lack the column 'event_timestamp'"]),
    ],
    ids=range(6),
)
def test_what_does_not_fit_is_said_without_values_and_nothing_is_written(
    filled: Any, text: str, messages: list[str]
) -> None:
    before = value(filled, "i1", "price.price", LATER + timedelta(days=1))
    done = push(filled, text)
    assert (done.exit_code, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == len(messages), done.stderr
    assert all(message in line for message, line in zip(messages, lines, strict=True)), done.stderr
    assert "cheap" not in done.stderr
    assert value(filled, "i1", "price.price", LATER + timedelta(days=1)) == before


def test_vectors_of_another_size(filled: Any) -> None:
    table = pa.table({"item": ["i2"], "event_timestamp": [LATER], "embedding": [[1.0, 2.0]]})
    pq.write_table(table, filled.folder / "short.parquet")
    done = filled.features("push", "taste", str(filled.folder / "short.parquet"))
    assert done.exit_code == 2
    assert done.stderr == "'embedding' of 'taste': no FLOAT[3] in 1 row, first in row 1\n"


def test_an_unreachable_redis_is_one_line(filled: Any) -> None:
    pytest.importorskip("redis")
    nowhere = "online_store=redis://127.0.0.1:1/0"
    for command in (["get", "item=i1"], ["check"], ["push", "price", str(filled.folder / "prices.csv")]):
        done = filled.features(*command, nowhere)
        assert (done.exit_code, done.stdout) == (75, ""), done.output
        assert "cannot use Redis at 127.0.0.1:1: " in done.stderr
        assert len(done.stderr.splitlines()) == 1
    secret = filled.features("get", "item=i1", "online_store=redis://:hunter2@127.0.0.1:1/0")
    assert secret.exit_code == 2
    assert "PROML_REDIS_PASSWORD" in secret.stderr
    assert "hunter2" not in secret.stderr


def test_other_mistakes(filled: Any, project: Any, tmp_path: Path) -> None:
    assert "no stored feature view 'prise'. Did you mean 'price'?" in push(filled, HEAD, "prise").stderr
    assert "no stored feature view 'visit'." in push(filled, HEAD, "visit").stderr
    broken = push(filled, "PAR1", name="broken.parquet")
    assert broken.exit_code == 2
    assert broken.stderr.startswith("cannot read 'broken.parquet': ")
    assert len(broken.stderr.splitlines()) == 1
