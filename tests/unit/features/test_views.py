"""Feature tables, and what is said when they cannot be computed."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.keys import key_facts
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.views.compute import compute_views
from proml_kedro.results import TablesFacts
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from shop import FEATURES, HARDWARE, PROBLEM, Shop


def test_every_view_but_request_views_has_a_table(shop: Shop) -> None:
    names = ["habits.parquet", "price.parquet", "region.parquet", "spending.parquet", "taste.parquet"]
    assert sorted(file.name for file in shop.views.iterdir()) == names


def test_types_are_those_declared(shop: Shop) -> None:
    moment = pa.timestamp("us", "UTC")
    price = pq.read_schema(shop.views / "price.parquet")
    assert dict(zip(price.names, price.types, strict=True)) == {
        "item": pa.string(),
        "event_timestamp": moment,
        "created_timestamp": moment,
        "price": pa.float64(),
        "label": pa.string(),
    }
    spending = pq.read_schema(shop.views / "spending.parquet")
    assert spending.field("user").type == pa.int64()
    assert spending.field("visits_2h").type == pa.int64()
    assert spending.field("total_1d").type == pa.float64()


def test_values_of_a_table_that_does_not_change_hold_from_1970(shop: Shop) -> None:
    rows = pq.read_table(shop.views / "region.parquet").to_pylist()
    assert {row["event_timestamp"] for row in rows} == {datetime(1970, 1, 1, tzinfo=UTC)}
    # The last of two rows counts, and the row without a key is gone.
    assert {row["user"]: row["area"] for row in rows} == {0: "north", 1: "east", 2: None, 3: None}


def test_values_are_known_after_the_delay(shop: Shop) -> None:
    source = pq.read_table(shop.tables / "prices.parquet").to_pylist()
    earliest = min(row["valid_from"] for row in source)
    known = pq.read_table(shop.views / "price.parquet")["event_timestamp"].to_pylist()
    assert (min(known) - earliest.replace(tzinfo=UTC)).total_seconds() == 600


def test_one_row_for_a_key_and_a_time(shop: Shop) -> None:
    for file in shop.views.iterdir():
        table = pq.read_table(file)
        keys = [name for name in ("user", "item", "event_timestamp") if name in table.column_names]
        assert table.group_by(keys).aggregate([]).num_rows == table.num_rows


def changed(path: str, value: Any) -> FeaturesSpec:
    features: dict[str, Any] = copy.deepcopy(FEATURES)
    place: Any = features
    *parents, last = path.split(".")
    for one in parents:
        place = place[one]
    place[last] = value
    return FeaturesSpec.model_validate(features)


@pytest.mark.parametrize(
    ("path", "value", "key", "message"),
    [
        ("price.features.price.expression", "prise", "price.features.price.expression", "Did you mean 'price'?"),
        (
            "price.features.prize",
            {"dtype": "float"},
            "price.features.prize",
            "no column 'prize'. Did you mean 'price'?",
        ),
        ("price.features.price.expression", "price +", "price.features.price.expression", "syntax error"),
        ("price.features.label.dtype", "int", "price.features.label.expression", "cannot be computed as BIGINT"),
        ("price.source.event_time", "valid", "price.source.event_time", "no column 'valid'"),
        ("price.source.event_time", "price", "price.source.event_time", "'price' is DOUBLE, not a timestamp"),
        ("price.key", "user", "price.key", "in table 'prices': no column 'user'."),
        ("spending.features.big.filter", "amout > 1", "spending.features.big.filter", "Did you mean 'amount'?"),
        ("spending.features.least.expression", "item", "spending.features.least.expression", "computed as DOUBLE"),
        (
            "habits.features.large.expression",
            "amount",
            "habits.features.large.expression",
            "is DOUBLE, not true or false",
        ),
        ("habits.features.upper.expression", "item", "habits.features.upper.expression", "computed as DOUBLE"),
        ("habits.features.size.dtype", "int", "habits.features.size.expression", "computed as BIGINT"),
        ("habits.features.different_hours.filter", "itm = ''", "habits.features.different_hours.filter", "'item'"),
        (
            "habits.features.different_hours.expression",
            "item::INT",
            "habits.features.different_hours.expression",
            "cannot be computed: ",
        ),
    ],
)
def test_mistakes(shop: Shop, tmp_path: Path, path: str, value: Any, key: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        compute_views(shop.problem, changed(path, value), shop.tables, HARDWARE, tmp_path)
    assert [one.key for one in caught.value.mistakes] == [f"features.{key}"]
    assert message in caught.value.mistakes[0].message
    assert "i1" not in caught.value.mistakes[0].message, "no values of the data"


def test_mistakes_of_all_views_at_once(shop: Shop, tmp_path: Path) -> None:
    features = copy.deepcopy(FEATURES)
    features["price"]["features"]["price"]["expression"] = "a"
    features["region"]["features"]["area"]["expression"] = "b"
    with pytest.raises(UserError) as caught:
        compute_views(shop.problem, FeaturesSpec.model_validate(features), shop.tables, HARDWARE, tmp_path)
    assert len(caught.value.mistakes) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spending.source.ttl", "1d", "windowed features need no source.ttl"),
        ("price.features.item", {"dtype": "str"}, "a feature cannot be called 'item'"),
    ],
)
def test_refused_at_once(path: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(path, value)


def test_keys_have_one_type_everywhere(tmp_path: Path) -> None:
    """A key that is text among the examples is text in a table where all of its values look like numbers."""
    problem = copy.deepcopy(PROBLEM)
    problem["examples"]["entities"] = ["item"]
    tables = tmp_path / "tables"
    tables.mkdir()
    pq.write_table(
        pa.table({"item": ["1", "x"], "seen_at": [datetime(2024, 1, 1, tzinfo=UTC)] * 2}), tables / "visits.parquet"
    )
    pq.write_table(pa.table({"item": [1, 2], "price": [1.0, 2.0]}), tables / "prices.parquet")
    view = {"key": "item", "source": {"table": "prices"}, "features": {"price": {"dtype": "float"}}}
    out = tmp_path / "out"
    out.mkdir()
    features = FeaturesSpec.model_validate({"price": view})
    with connect(HARDWARE) as session:
        keys = key_facts(Tables(session, tables), {"item": ["visits", "prices"]})
    TablesFacts(rows={}, keys=keys).write(tables)
    compute_views(ProblemSpec.model_validate(problem), features, tables, HARDWARE, out)
    assert pq.read_table(out / "price.parquet")["item"].to_pylist() == ["1", "2"]
