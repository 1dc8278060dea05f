"""Point-in-time joins through Feast's own interface, on our offline store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, RequestSource, ValueType
from feast.errors import FeastEntityDFMissingColumnsError, SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

from proml_kedro.features.training.join import PointInTimeJoin
from proml_kedro.spec import HardwareSpec

DAY = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

# key, hours after midnight, hours after midnight when written, value
ROWS = [
    ("a", 0, 0, 1.0),
    ("a", 12, 13, 2.0),
    ("a", 12, 20, 3.0),  # a tie: written later
    ("b", 0, 0, None),  # a null is a value that is known
    ("b", -1, -1, 7.0),
    ("c", 96, 96, 9.0),  # only in the future
]
# key, other key, hours after midnight, expected with a TTL of one day
ASKED = [
    ("a", "x", 18.0, 3.0),
    ("a", "y", 18.0, 3.0),
    ("a", "x", 36.0, 3.0),  # exactly the TTL
    ("a", "x", 36.001, None),  # beyond it
    ("b", "x", 6.0, None),
    ("c", "x", 6.0, None),
    ("unheard-of", "x", 6.0, None),
    (None, "x", 6.0, None),
    ("a", "x", 12.0, 3.0),  # at that very moment
    ("a", None, 11.999, 1.0),
    ("a", "x", 18.0, 3.0),  # a row that is there twice
]


def make_store(folder: Path, threads: int = 1) -> FeatureStore:
    config = RepoConfig(
        project="p",
        provider="local",
        repo_path=folder,
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={
            "type": "proml_kedro.features.feast.offline_store.AsofOfflineStore",
            "threads": threads,
            "memory": "300MB",
        },
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def make_view(folder: Path, name: str, keys: list[str], rows: pa.Table, ttl: timedelta, **source: Any) -> FeatureView:
    pq.write_table(rows, folder / f"{name}.parquet")
    return FeatureView(
        name=name,
        entities=[Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in keys],
        ttl=ttl,
        schema=[*(Field(name=key, dtype=String) for key in keys), Field(name="v", dtype=Float64)],
        source=FileSource(
            name=f"{name}_file",
            path=f"{name}.parquet",  # relative to the repository
            timestamp_field="ts",
            created_timestamp_column="created",
            **source,
        ),
    )


def moments(hours: list[float], zone: str | None = "UTC") -> pa.Array:
    return pa.array([int((DAY + one * HOUR).timestamp() * 1e6) for one in hours], pa.timestamp("us", zone))


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return filled(tmp_path)


def filled(folder: Path, zone: str | None = "UTC") -> FeatureStore:
    columns = list(zip(*ROWS, strict=True))
    first = pa.table(
        {"k": columns[0], "ts": moments(columns[1], zone), "created": moments(columns[2], zone), "v": columns[3]}
    )
    second = pa.table({"k2": ["x", "y"], "ts": moments([0, 0]), "created": moments([0, 0]), "raw": [5.0, 6.0]})
    views = [
        make_view(folder, "one", ["k"], first, timedelta(days=1)),
        make_view(folder, "two", ["k2"], second, timedelta(0), field_mapping={"raw": "v"}),
    ]
    store = make_store(folder)
    entities = [Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in ("k", "k2")]
    store.apply([*entities, *views])
    return store


def asked(convert: Callable[[pd.Series], pd.Series] = lambda moment: moment) -> pd.DataFrame:
    columns = list(zip(*ASKED, strict=True))
    moment = pd.to_datetime([DAY + one * HOUR for one in columns[2]], utc=True)
    frame = pd.DataFrame({"k": columns[0], "k2": columns[1], "event_timestamp": convert(pd.Series(moment))})
    return frame.assign(number=range(len(frame)))


def check(result: pd.DataFrame) -> None:
    assert result["number"].tolist() == list(range(len(ASKED))), "each row once, in order"
    assert [None if pd.isna(one) else one for one in result["one__v"]] == [one[3] for one in ASKED]
    expected = [{"x": 5.0, "y": 6.0}.get(one[1] or "") for one in ASKED]
    assert [None if pd.isna(one) else one for one in result["two__v"]] == expected


FEATURES = ["one:v", "two:v"]


@pytest.mark.parametrize(
    "convert",
    [
        lambda moment: moment,
        lambda moment: moment.dt.tz_localize(None),
        lambda moment: moment.dt.tz_convert("America/New_York"),
    ],
    ids=["utc", "no zone", "new york"],
)
@pytest.mark.parametrize("zone", ["UTC", None, "Asia/Tokyo"])
def test_values_as_of_each_moment(tmp_path: Path, convert: Any, zone: str | None) -> None:
    frame = asked(convert)
    before = frame.copy()
    job = filled(tmp_path, zone).get_historical_features(frame, FEATURES, full_feature_names=True)
    check(job.to_df())
    pd.testing.assert_frame_equal(frame, before)


def test_entity_rows_by_query(store: FeatureStore, tmp_path: Path) -> None:
    asked().to_parquet(tmp_path / "asked.parquet")
    query = f"SELECT * FROM read_parquet('{tmp_path / 'asked.parquet'}') -- all"
    check(store.get_historical_features(query, FEATURES, full_feature_names=True).to_df())


def test_written_without_passing_through_python(store: FeatureStore, tmp_path: Path) -> None:
    job = store.get_historical_features(asked(), FEATURES, full_feature_names=True)
    file = tmp_path / "out.parquet"
    assert job.join.write_parquet(file) == len(ASKED)
    check(pd.read_parquet(file))
    job.join.write_parquet(file, {"number": "number", "twice": "one__v * 2"}, order_by="number")
    assert pd.read_parquet(file)["twice"].tolist()[:2] == [6.0, 6.0]
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(SavedDatasetFileStorage(str(file)))
    job.persist(SavedDatasetFileStorage(str(file)), allow_overwrite=True)
    check(pd.read_parquet(file))
    assert not list(tmp_path.glob(".duckdb-*"))


def test_short_names(store: FeatureStore) -> None:
    result = store.get_historical_features(asked(), ["one:v"]).to_df()
    assert "v" in result
    assert "one__v" not in result


def test_entity_rows_that_do_not_fit(store: FeatureStore) -> None:
    with pytest.raises(FeastEntityDFMissingColumnsError):
        store.get_historical_features(asked().drop(columns="k2"), FEATURES, full_feature_names=True)
    two_moments = asked().rename(columns={"event_timestamp": "a"}).assign(b=lambda frame: frame["a"])
    with pytest.raises(ValueError, match="event_timestamp"):
        store.get_historical_features(two_moments, FEATURES, full_feature_names=True)
    with pytest.raises(NotImplementedError, match="filter_by_created_timestamp"):
        store.get_historical_features(asked(), ["one:v"], filter_by_created_timestamp=True)
    with pytest.raises(ValueError, match="entity_df"):
        store.get_historical_features(features=["one:v"], start_date=DAY)


def test_on_demand_views_are_computed_by_feast(store: FeatureStore) -> None:
    request = RequestSource(name="request", schema=[Field(name="number", dtype=Int64)])

    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[store.get_feature_view("one"), request], schema=[Field(name="w", dtype=Float64)], mode="pandas"
    )
    def shifted(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"w": inputs["v"] + inputs["number"]})

    store.apply([shifted])
    result = store.get_historical_features(asked(), ["one:v", "shifted:w"]).to_df()
    assert result["w"].tolist()[:2] == [3.0, 4.0]


def test_materialized_is_the_latest(store: FeatureStore) -> None:
    store.materialize(DAY - timedelta(days=2), DAY + 30 * HOUR)
    rows = store.get_online_features(FEATURES, {"k": ["a", "b", "c"], "k2": ["x", "y", "z"]}, full_feature_names=True)
    assert rows.to_dict()["one__v"] == [3.0, None, None]
    assert rows.to_dict()["two__v"] == [5.0, 6.0, None]


@pytest.mark.parametrize("threads", [1, 2])
def test_agrees_with_pandas(tmp_path: Path, threads: int) -> None:
    generator = np.random.default_rng(1)
    n, m = 20_000, 5_000
    facts = pd.DataFrame(
        {
            "k": generator.integers(0, 50, m).astype(str),
            "ts": pd.Timestamp(DAY) + pd.to_timedelta(generator.integers(0, 100_000, m), "s"),
            "v": generator.random(m),
        }
    ).drop_duplicates(["k", "ts"])
    facts = facts.assign(created=facts["ts"]).sort_values("ts")
    view = make_view(tmp_path, "one", ["k"], pa.Table.from_pandas(facts, preserve_index=False), 10 * HOUR)
    store = make_store(tmp_path, threads)
    store.apply([Entity(name="k", join_keys=["k"], value_type=ValueType.STRING), view])
    rows = pd.DataFrame(
        {
            "k": generator.integers(0, 55, n).astype(str),
            "event_timestamp": pd.Timestamp(DAY) + pd.to_timedelta(generator.integers(-10_000, 200_000, n), "s"),
            "number": range(n),
        }
    )
    result = store.get_historical_features(rows, ["one:v"]).to_df()
    expected = pd.merge_asof(
        rows.sort_values("event_timestamp"),
        facts[["k", "ts", "v"]],
        left_on="event_timestamp",
        right_on="ts",
        by="k",
        tolerance=pd.Timedelta(10 * HOUR),
    ).sort_values("number")
    assert result["number"].tolist() == list(range(n))
    np.testing.assert_array_equal(result["v"], expected["v"])
    assert 0.2 < result["v"].isna().mean() < 0.8


@pytest.mark.filterwarnings("error")
def test_rows_with_derived_columns_are_written_in_batches_and_without_a_warning(tmp_path):
    job = PointInTimeJoin("SELECT range AS a FROM range(250000)", HardwareSpec(threads=1))
    seen = []

    def derive(batch):
        seen.append(batch.num_rows)
        return batch.append_column("b", batch.column("a"))

    assert job.write_parquet(tmp_path / "rows.parquet", order_by="a", derive=derive) == 250_000
    assert len(seen) > 1
    assert pq.read_table(tmp_path / "rows.parquet")["b"].to_pylist() == list(range(250_000))
