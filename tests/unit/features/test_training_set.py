"""Training sets against a plain loop over the tables, and what is said when there cannot be one."""

from __future__ import annotations

import copy
import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from proml_kedro.errors import UserError
from proml_kedro.extensions import splits
from proml_kedro.features.feast.history import FeastHistory
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.training.as_of import FeaturesAsOf
from proml_kedro.features.training.training_set import build_training_set, newest_moment
from proml_kedro.models.examples import read_examples
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.on_demand import expressions
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import SplitSpec
from proml_kedro.spec.training_set import TrainingSetSchema
from shop import HARDWARE, PROBLEM, Shop

HALF_HOUR = timedelta(minutes=30)


def build(shop: Shop, folder: Path, hardware: HardwareSpec = HARDWARE, **changes: Any) -> pa.Table:
    problem = changed(**changes)
    store = open_repository(problem, shop.features, shop.data, hardware)
    columns = shop.features.columns()
    register(store, problem, shop.features, "shop_all", columns, shop.views)
    folder.mkdir(exist_ok=True)
    build_training_set(problem, shop.features, columns, shop.tables, FeastHistory(store), hardware, folder)
    assert sorted(file.name for file in folder.iterdir()) == ["training_set.json", "training_set.parquet"]
    return pq.read_table(folder / "training_set.parquet")


def changed(**changes: Any) -> ProblemSpec:
    problem: dict[str, Any] = copy.deepcopy(PROBLEM)
    for key, value in changes.items():
        part, _, name = key.partition("__")
        if name:
            problem[part][name] = value
        else:
            problem[part] = value
    return ProblemSpec.model_validate(problem)


@pytest.fixture(scope="module")
def training_set(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return build(shop, tmp_path_factory.mktemp("training") / "set")


def test_layout(shop: Shop, training_set: pa.Table) -> None:
    zoned = pa.timestamp("us", "UTC")
    fixed = {
        "example_id": pa.int64(),
        "user": pa.int64(),
        "item": pa.string(),
        "timestamp": zoned,
        "event_timestamp": zoned,
        "day": pa.date32(),
        "split": pa.string(),
        "label": pa.float64(),
    }
    types = {
        "float": pa.float64(),
        "int": pa.int64(),
        "bool": pa.bool_(),
        "str": pa.string(),
        "vector[3]": pa.list_(pa.field("element", pa.float32())),
    }
    expected = {**fixed, **{name: types[dtype] for name, dtype in shop.features.columns().items()}}
    assert dict(zip(training_set.column_names, training_set.schema.types, strict=True)) == expected
    columns = shop.features.columns()
    computed = set(expressions(shop.features, columns))  # these come last
    ordered = dict(sorted(columns.items(), key=lambda item: item[0] in computed))
    assert training_set.column_names == list(TrainingSetSchema(shop.problem, ordered).columns)


def test_labels_and_weights_keep_every_digit(shop: Shop, tmp_path: Path) -> None:
    label = {"expression": "1700000000 + amount", "task": "regression", "drop_when": "amount IS NULL"}
    exact = {"auxiliary_labels": {"many": "16777217 + (user % 2)"}, "examples__weight": "1 + 1e-12 * coalesce(user, 0)"}
    table = build(shop, tmp_path / "set", label=label, **exact)
    kept = [one for one in pq.read_table(shop.folder / "visits.parquet").to_pylist() if one["amount"] is not None]
    assert table["label"].to_pylist() == [1_700_000_000 + one["amount"] for one in kept]
    users = [one["user"] for one in kept]
    assert table["label.many"].to_pylist() == [None if one is None else 16_777_217 + one % 2 for one in users]
    assert table["weight"].to_pylist() == [1 + 1e-12 * (one or 0) for one in users]
    problem = changed(label=label, **exact)
    examples = read_examples(tmp_path / "set" / "training_set.parquet", "train", [], problem, "float32")
    train = table.filter(pc.equal(table["split"], "train"))
    assert examples.label.tolist() == train["label"].to_pylist()
    assert examples.weight is not None
    assert examples.weight.tolist() == train["weight"].to_pylist()


def test_examples_that_are_in_no_part_are_refused(shop: Shop, tmp_path: Path) -> None:
    values = {"train": ["i0", "i1"], "validation": ["i2"], "test": ["i3"]}
    with pytest.raises(UserError, match="are in none of train, validation, test; leave them out") as error:
        build(shop, tmp_path / "set", split={"by": "column", "column": "item", "values": values})
    assert [one.key for one in error.value.mistakes] == ["problem.split"]
    table = build(shop, tmp_path / "set", split={"by": "random", "validation": "30%", "test": "30%"})
    assert set(table["split"].to_pylist()) == {"train", "validation", "test"}


class Halves(SplitSpec):
    """A split by a column, with SQL of its own."""

    by: Literal["halves"]
    column: str

    def sql(self, timestamp: str) -> str:
        return f"CASE WHEN {self.column} % 3 = 0 THEN 'test' WHEN user % 3 = 1 THEN 'validation' ELSE 'train' END"


def test_a_split_of_ones_own(shop: Shop, tmp_path: Path) -> None:
    with splits.temporary("halves", Halves):
        table = build(shop, tmp_path / "set", split={"by": "halves", "column": "user"})
        wanted = {0: "test", 1: "validation", 2: "train", None: "train"}
        users = [None if one is None else one % 3 for one in table["user"].to_pylist()]
        assert table["split"].to_pylist() == [wanted[one] for one in users]
        with pytest.raises(UserError, match="column 'usr'") as error:
            build(shop, tmp_path / "other", split={"by": "halves", "column": "usr"})
        assert [one.key for one in error.value.mistakes] == ["problem.split"]


def test_examples_label_and_split(shop: Shop, training_set: pa.Table) -> None:
    visits = pq.read_table(shop.folder / "visits.parquet").to_pylist()
    kept = [one for one in visits if one["amount"] is not None]
    assert 0 < len(kept) < len(visits)
    rows = training_set.to_pylist()
    assert len(rows) == len(kept)
    for number, (row, visit) in enumerate(zip(rows, kept, strict=True)):
        seen = visit["seen_at"]
        assert row["example_id"] == number
        assert (row["user"], row["item"], row["timestamp"]) == (visit["user"], visit["item"], seen)
        assert row["event_timestamp"] == seen - HALF_HOUR
        assert row["label"] == float(visit["amount"] > 10)
        assert row["day"] == seen.date()
        first, second = datetime(2024, 3, 20, tzinfo=UTC), datetime(2024, 3, 26, tzinfo=UTC)
        assert row["split"] == ("train" if seen < first else "validation" if seen < second else "test")
        assert row["visit.hour"] == seen.hour
        assert row["visit.is_big"] == (visit["amount"] > 12)


def test_features_as_a_loop_finds_them(shop: Shop, training_set: pa.Table) -> None:
    visits = pq.read_table(shop.folder / "visits.parquet").to_pylist()
    prices = pq.read_table(shop.tables / "prices.parquet").to_pylist()
    rows = training_set.to_pylist()
    seen_price, seen_count = 0, 0
    for row in rows[::7]:
        as_of = row["event_timestamp"]
        # Later rows of one moment count, so the last of the latest.
        known = [
            (one["valid_from"].replace(tzinfo=UTC) + timedelta(minutes=10), position, one)
            for position, one in enumerate(prices)
            if one["item"] == row["item"]
        ]
        latest = max((one for one in known if one[0] <= as_of), default=None, key=lambda one: one[:2])
        if latest is None or as_of - latest[0] > timedelta(days=2):
            assert row["price.price"] is None
            assert row["price.label"] is None
        else:
            seen_price += 1
            assert row["price.price"] == latest[2]["price"]
            assert row["price.label"] == (latest[2]["tag"] or "").upper() or latest[2]["tag"] is None
        if row["user"] is None:
            assert row["spending.visits_1d"] is None, "whose visits?"
            continue
        minutes = as_of - datetime(1970, 1, 1, tzinfo=UTC)
        tick = as_of - minutes % HALF_HOUR
        inside = [
            one["amount"]
            for one in visits
            if (one["user"], one["item"]) == (row["user"], row["item"])
            and tick - timedelta(days=1) <= one["seen_at"] + timedelta(hours=1) < tick
        ]
        amounts = [one for one in inside if one is not None]
        seen_count += len(inside)
        assert row["spending.visits_1d"] == len(inside), "0 also when nothing ever happened"
        assert row["spending.total_1d"] == pytest.approx(sum(amounts))
        assert row["spending.least_1d"] == (min(amounts) if amounts else None)
    assert seen_price > 50
    assert seen_count > 50


def test_figures(shop: Shop, tmp_path: Path) -> None:
    table = build(shop, tmp_path / "set")
    figures = json.loads((tmp_path / "set" / "training_set.json").read_text())
    assert figures["rows"] == len(table)
    assert figures["rows"] + figures["dropped"] == 3000
    train = table.filter(pa.compute.field("split") == "train")
    assert figures["splits"]["train"]["rows"] == len(train)
    assert figures["splits"]["train"]["label_mean"] == pytest.approx(pa.compute.mean(train["label"]).as_py())
    assert list(figures["splits"]) == ["train", "validation", "test"]
    nulls = table["price.price"].null_count / len(table)
    assert figures["null_share"]["price.price"] == pytest.approx(nulls)
    newest = newest_moment(tmp_path / "set" / "training_set.parquet")
    assert newest == max(table["event_timestamp"].to_pylist())


def test_threads_do_not_matter(shop: Shop, training_set: pa.Table, tmp_path: Path) -> None:
    other = build(shop, tmp_path / "set", HardwareSpec(threads=2, memory="200MB"))
    # The order in which numbers are added up may differ, and with it the last digit.
    inexact = ["spending.amount_2h", "spending.amount_all", "spending.total_1d"]
    inexact += [f"habits.{one}" for one in ("spread_1d", "spread_all", "faded_all")]
    assert other.drop_columns(inexact).equals(training_set.drop_columns(inexact))
    for name in inexact:
        np.testing.assert_allclose(other[name].to_numpy(), training_set[name].to_numpy(), rtol=1e-9)


def test_days_begin_in_the_time_zone(shop: Shop, tmp_path: Path) -> None:
    table = build(shop, tmp_path / "set", split__timezone="Asia/Tokyo")
    tokyo = ZoneInfo("Asia/Tokyo")
    for row in table.select(["timestamp", "day", "split"]).to_pylist():
        local = row["timestamp"].astimezone(tokyo).date()
        assert row["day"] == local
        assert (row["split"] == "test") == (local >= date(2024, 3, 26))


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
def test_dates_keep_their_day_or_are_refused(shop: Shop, tmp_path: Path, zone: str) -> None:
    """A date is midnight of UTC, which is a day before in America."""
    shutil.copytree(shop.tables, tmp_path / "tables")
    rows = pq.read_table(shop.tables / "visits.parquet")
    days = pc.floor_temporal(rows["seen_at"], unit="day")
    place = rows.column_names.index("seen_at")
    pq.write_table(rows.set_column(place, "seen_at", days), tmp_path / "tables" / "visits.parquet")
    problem = changed(split__timezone=zone)
    made = (problem, shop.features, {"visit.hour": "int"}, tmp_path / "tables", None, HARDWARE, tmp_path)
    if zone == "America/New_York":
        with pytest.raises(UserError, match="'seen_at' holds dates, which are midnights of UTC: in America/New_York"):
            build_training_set(*made)
        return
    build_training_set(*made)
    for row in pq.read_table(tmp_path / "training_set.parquet").to_pylist():
        assert row["day"] == row["timestamp"].date()
        assert (row["split"] == "test") == (row["day"] >= date(2024, 3, 26))


def test_request_features_alone_need_no_store(shop: Shop, tmp_path: Path) -> None:
    build_training_set(shop.problem, shop.features, {"visit.hour": "int"}, shop.tables, None, HARDWARE, tmp_path)
    table = pq.read_table(tmp_path / "training_set.parquet")
    assert table.column_names[-2:] == ["label", "visit.hour"]


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"label__expression": "amout > 10"}, "label.expression", "no column 'amout'. Did you mean 'amount'?"),
        ({"label__expression": "amount"}, "label.expression", "is DOUBLE, not true or false"),
        ({"label__expression": "amount > 1000"}, "label.expression", "is false for all 1,"),
        ({"label__drop_when": "amount"}, "label.drop_when", "is DOUBLE, not true or false"),
        ({"label__drop_when": "true"}, "label.drop_when", "drops every example"),
        (
            {"label__expression": "amount * 1e31", "label__task": "regression"},
            "label.expression",
            "is beyond ±1e+30 for",
        ),
        ({"label__drop_when": None}, "label.expression", "of 3,000 examples; leave them out with drop_when"),
        (
            {"split__test_from": "2025-01-01"},
            "split.test_from",
            "no example is in the test period; the data goes from 2024",
        ),
        ({"split__validation_from": "2023-01-01"}, "split.validation_from", "no example is in the train period"),
        ({"examples__timestamp": "seen"}, "examples.timestamp", "no column 'seen'. Did you mean 'seen_at'?"),
        ({"examples__timestamp": "amount"}, "examples.timestamp", "'amount' is DOUBLE, not a timestamp"),
        ({"examples__entities": ["user", "itm"]}, "examples.entities.1", "no column 'itm'. Did you mean 'item'?"),
        ({"examples__entities": ["label"]}, "examples.entities.0", "'label' is a column of training sets or scores"),
        ({"examples__entities": ["Score"]}, "examples.entities.0", "'Score' is a column of training sets or scores"),
    ],
)
def test_mistakes(shop: Shop, tmp_path: Path, changes: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        build_training_set(
            changed(**changes), shop.features, {"visit.hour": "int"}, shop.tables, None, HARDWARE, tmp_path
        )
    assert any(one.key == f"problem.{key}" and message in one.message for one in caught.value.mistakes)
    assert not list(tmp_path.iterdir())


def test_moments_that_are_missing_are_counted(tmp_path: Path) -> None:
    def forget(columns: dict[str, Any]) -> None:
        columns["seen_at"] = [None if position % 10 == 0 else one for position, one in enumerate(columns["seen_at"])]
        columns["amount"] = [11.0] * len(columns["amount"])

    shop = Shop(tmp_path, change=forget)
    with pytest.raises(UserError, match="'seen_at' is null in 300 of 3,000 examples"):
        build_training_set(shop.problem, shop.features, {"visit.hour": "int"}, shop.tables, None, HARDWARE, tmp_path)


@pytest.mark.parametrize(("later", "differs"), [(True, False), (False, True)], ids=["future", "past"])
def test_nothing_from_the_future_reaches_an_example(shop: Shop, tmp_path: Path, later: bool, differs: bool) -> None:
    """Change every fact known from a moment on: no example as of that moment or before may notice."""
    moment = datetime(2024, 3, 15, 12, 10, tzinfo=UTC)

    def change(columns: dict[str, Any]) -> None:
        known = [one + timedelta(hours=1) for one in columns["seen_at"]]
        columns["amount"] = [
            one if one is None or (at >= moment) != later else one + 0.5
            for one, at in zip(columns["amount"], known, strict=True)
        ]

    other = Shop(tmp_path, change=change)
    cut = pa.compute.field("event_timestamp") <= moment
    names = [name for name in shop.features.columns() if name.startswith(("spending", "habits"))]
    before = build(shop, tmp_path / "a").filter(cut).select(names)
    after = build(other, tmp_path / "b").filter(cut).select(names)
    assert len(before) > 500
    assert before.equals(after) != differs


def test_weights_groups_and_further_labels(shop: Shop, tmp_path: Path) -> None:
    table = build(
        shop,
        tmp_path / "set",
        examples__weight="1 + hour",
        examples__group="item",
        auxiliary_labels={"big": "is_big", "amount": "CASE WHEN hour > 12 THEN amount END"},
    )
    visits = [one for one in pq.read_table(shop.tables / "visits.parquet").to_pylist() if one["amount"] is not None]
    assert table.schema.field("weight").type == table.schema.field("label.amount").type == pa.float64()
    assert table["weight"].to_pylist() == [1 + one["hour"] for one in visits]
    assert table["group"].to_pylist() == [one["item"] for one in visits]
    assert table["label.big"].to_pylist() == [float(one["is_big"]) for one in visits]
    known = [one for one in table["label.amount"].to_pylist() if one is not None]
    assert known == pytest.approx([one["amount"] for one in visits if one["hour"] > 12])


def test_a_label_may_be_a_number(shop: Shop, tmp_path: Path) -> None:
    table = build(shop, tmp_path / "set", label__expression="amount", label__task="regression")
    visits = pq.read_table(shop.tables / "visits.parquet").to_pylist()
    assert table["label"].to_pylist() == pytest.approx([one["amount"] for one in visits if one["amount"] is not None])
    figures = json.loads((tmp_path / "set" / "training_set.json").read_text())
    train = [one["label"] for one in table.to_pylist() if one["split"] == "train"]
    assert figures["splits"]["train"]["label_mean"] == pytest.approx(np.mean(train))


def test_a_label_may_be_a_count(shop: Shop, tmp_path: Path) -> None:
    table = build(shop, tmp_path / "set", label__expression="hour", label__task="count")
    assert table["label"].type == pa.float64()
    assert set(table["label"].to_pylist()) == set(range(24))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"label__task": "regression"}, "problem.label.expression: is BOOLEAN, not a number"),
        ({"label__expression": "amount"}, "problem.label.expression: is DOUBLE, not true or false"),
        ({"label__expression": "item"}, "compare it with something, as in `(item) = 'some text'`"),
        (
            {"label__expression": "amount", "label__task": "count"},
            "problem.label.expression: is negative or not a whole number for",
        ),
        (
            {"label__expression": "3", "label__task": "regression"},
            "problem.label.expression: is 3 for all",
        ),
        ({"examples__weight": "item"}, "problem.examples.weight: is VARCHAR, not a number"),
        ({"examples__weight": "hour - 5"}, "problem.examples.weight: is negative, null or infinite for"),
        ({"examples__weight": "hour / 0"}, "problem.examples.weight: is negative, null or infinite for"),
        ({"examples__weight": "0"}, "problem.examples.weight: is 0 for every example of the train period"),
        (
            {"label__expression": "if(hour = 3, 'inf'::DOUBLE, amount)", "label__task": "regression"},
            "problem.label.expression: is null or not finite for",
        ),
        (
            {"label__expression": "nullif(hour, 3)", "label__task": "count"},
            "problem.label.expression: is null or not finite for",
        ),
        ({"examples__group": "itme"}, "problem.examples.group: no column 'itme'. Did you mean 'item'?"),
        ({"auxiliary_labels": {"big": "item"}}, "problem.auxiliary_labels.big: is VARCHAR, not a number"),
        ({"auxiliary_labels": {"big": "amont > 1"}}, "problem.auxiliary_labels.big: "),
    ],
)
def test_labels_that_do_not_fit(shop: Shop, tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as raised:
        build(shop, tmp_path / "set", **changes)
    assert expected in str(raised.value)


def test_nothing_is_known_of_a_row_without_a_moment_and_that_is_not_0(shop: Shop) -> None:
    stored = pq.read_table(shop.views / "spending.parquet")
    stored = stored.filter(pc.greater(stored["big_all"], 0)).slice(0, 1)
    user, item, moment = (stored[name][0].as_py() for name in ("user", "item", "event_timestamp"))
    rows = pa.table(
        {
            "user": pa.array([user, -1, user, None], stored.schema.field("user").type),
            "item": pa.array([item] * 4, stored.schema.field("item").type),
            "event_timestamp": pa.array([moment, moment, None, moment], stored.schema.field("event_timestamp").type),
        }
    )
    found = FeaturesAsOf(shop.features, {"spending.big_all": "int"}, shop.views, HARDWARE).read(rows)
    assert found["spending.big_all"].to_pylist() == [stored["big_all"][0].as_py(), 0, None, None]
