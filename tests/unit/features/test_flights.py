"""The real flights of 2013: what is in the training set, that nothing leaks, that the online store agrees."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy2
from typing import Any

import duckdb
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from proml_kedro.config import HydraConfigLoader
from proml_kedro.features.feast.history import FeastHistory
from proml_kedro.features.feast.materialize import materialize
from proml_kedro.features.feast.repository import open_repository, register
from proml_kedro.features.online.lookup import OnlineFeatures
from proml_kedro.features.online.open import open_store
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.features.views.compute import compute_views
from proml_kedro.results import TablesFacts
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.run import RunSpec

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
HARDWARE = HardwareSpec(threads=1, memory="1GB")
MOMENT = datetime(2013, 7, 10, 18, 7, tzinfo=UTC)  # between two ticks of the clock, and two observations


class Flights:
    """Everything from the tables to the training set; ``change`` is SQL run on the table ``flights`` or ``weather``."""

    def __init__(self, folder: Path, run: RunSpec, original: Path | None = None, **change: str) -> None:
        self.run, self.folder, self.data = run, folder, folder / "data"
        self.tables = folder / "tables"
        views = self.data / "flight_delays" / "feature_tables"
        for one in (self.tables, views, folder / "set"):
            one.mkdir(parents=True)
        if original is None:
            read_tables(run.problem, run.features, ROOT, HARDWARE, self.tables)
        else:
            copy2(original / TablesFacts.FILE, self.tables)
            for file in original.glob("*.parquet"):
                rewrite(file, self.tables / file.name, change.get(file.stem, "*"))
        compute_views(run.problem, run.features, self.tables, HARDWARE, views)
        self.store = open_repository(run.problem, run.features, self.data, HARDWARE)
        self.columns = run.features.columns()
        register(self.store, run.problem, run.features, "all", self.columns, views)

    def training_set(self) -> Path:
        file = self.folder / "set" / "training_set.parquet"
        if not file.exists():
            run = self.run
            build_training_set(
                run.problem,
                run.features,
                self.columns,
                self.tables,
                FeastHistory(self.store),
                HARDWARE,
                self.folder / "set",
            )
        return file


def rewrite(source: Path, target: Path, columns: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY (SELECT {columns} FROM read_parquet('{source}')) TO '{target}' (FORMAT parquet)")


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    run = HydraConfigLoader(ROOT / "conf").loaded.run
    return Flights(tmp_path_factory.mktemp("flights"), run)


def test_rows_and_label_rate(flights: Flights) -> None:
    table = pq.read_table(flights.training_set())
    assert len(table) == 336_776 - 8_255 - 1_175 == 327_346
    figures = json.loads((flights.folder / "set" / "training_set.json").read_text())
    assert figures["dropped"] == 9_430
    assert figures["splits"]["test"]["rows"] == 82_609
    assert figures["splits"]["test"]["label_mean"] == pytest.approx(0.221, abs=5e-4)
    assert pc.count_distinct(table["example_id"]).as_py() == len(table)
    assert pc.count_distinct(table["day"]).as_py() == 365
    known = 1 - table["plane.manufacturer"].null_count / len(table)
    assert known == pytest.approx(0.85, abs=0.01), "tail numbers that are among the planes"


def changed(moment: str, sign: str) -> dict[str, str]:
    """Other values for all that is known from a moment on (``>=``), or before it (``<``)."""
    departed = f"departed_at {sign} TIMESTAMPTZ '{moment}'"
    observed = f"time_hour {sign} TIMESTAMPTZ '{moment}'"
    numbers = ", ".join(f"CASE WHEN {observed} THEN {one} + 7 ELSE {one} END AS {one}" for one in ("temp", "visib"))
    return {
        "flights": f"""* REPLACE (
            CASE WHEN {departed} THEN 999 ELSE dep_delay END AS dep_delay,
            CASE WHEN {departed} THEN capped_delay + 60 ELSE capped_delay END AS capped_delay,
            CASE WHEN departed_at >= TIMESTAMPTZ '{moment}' THEN departed_at + INTERVAL 17 MINUTES ELSE departed_at END
                AS departed_at)""",
        "weather": f"* REPLACE ({numbers})",
    }


@pytest.mark.parametrize(("sign", "differs"), [(">=", False), ("<", True)], ids=["future", "past"])
def test_nothing_from_the_future_reaches_an_example(flights: Flights, tmp_path: Path, sign: str, differs: bool) -> None:
    """Facts that become known at or after a moment are changed: no example as of then or before may notice.

    Changing facts from before it shows that the comparison would notice.
    """
    other = Flights(tmp_path, flights.run, flights.tables, **changed(MOMENT.isoformat(), sign))
    cut = pc.field("event_timestamp") <= MOMENT
    names = [name for name in flights.columns if not name.startswith(("flight.", "plane."))]
    before, after = (pq.read_table(one.training_set(), columns=names, filters=cut) for one in (flights, other))
    assert len(before) > 100_000
    for name in names:
        assert before[name].equals(after[name]) != (differs and is_changed(name)), name


def is_changed(name: str) -> bool:
    view, _, feature = name.partition(".")
    return feature in ("temp", "visib") if view == "weather" else not feature.startswith("departures")


def test_the_online_store_agrees_with_the_offline_store(flights: Flights) -> None:
    materialize(flights.store, MOMENT, "all")
    recent = (pc.field("event_timestamp") <= MOMENT) & (pc.field("event_timestamp") > MOMENT - timedelta(days=3))
    keys = ["tailnum", "carrier", "origin", "dest"]
    rows: list[dict[str, Any]] = pq.read_table(flights.training_set(), columns=keys, filters=recent).to_pylist()[:2000]
    rows.append({"tailnum": None, "carrier": "AA", "origin": "JFK", "dest": "new"})
    names = {name: dtype for name, dtype in flights.columns.items() if not name.startswith("flight.")}
    online = OnlineFeatures(
        open_store(flights.store.config.online_store.path, "flight_delays"), flights.run.features, names
    ).read(rows, MOMENT)

    import pandas as pd

    frame = pd.DataFrame(rows, dtype=object).assign(event_timestamp=pd.Timestamp(MOMENT))
    refs = [name.replace(".", ":") for name in names]
    offline = flights.store.get_historical_features(frame, refs, full_feature_names=True).to_df()
    for name, dtype in names.items():
        expected = offline[name.replace(".", "__")]
        if dtype == "str":
            assert [None if pd.isna(one) else one for one in expected] == list(online[name]), name
            continue
        wanted = expected.to_numpy("float64", na_value=np.nan)
        if dtype == "int" and not name.startswith("plane."):  # counts are 0 where nothing has ever happened
            keys_known = frame[flights.run.features.views[name.partition(".")[0]].key].notna().all(axis=1)
            wanted = np.where(np.isnan(wanted) & keys_known, 0.0, wanted)
        np.testing.assert_array_equal(online[name], wanted, err_msg=name)
        assert not np.isnan(wanted).all(), name
