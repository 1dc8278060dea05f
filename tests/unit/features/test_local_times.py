"""Moments without a time zone where days are those of a zone: refused with both readings, each of which then works."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.tables.undecided import refuse_undecided
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from shop import HARDWARE

ZONE, AT = "America/New_York", '"at"'
TIMES = [datetime(2024, 1, 31, 22) + timedelta(hours=one) for one in range(40)]
"""By clocks of New York, the first two are in January; of UTC these clocks would be five hours ahead."""


def problem_of(zone: str, at: str, source: str = "ex.csv", **table: Any) -> ProblemSpec:
    return ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"ex": {"source": source, **table}, "ev": {"source": "ev.parquet"}},
            "examples": {"table": "ex", "entities": ["k"], "timestamp": at},
            "label": {"expression": "y = 1"},
            "split": {"timezone": zone, "validation_from": "2024-02-01", "test_from": "2024-02-02"},
        }
    )


FEATURES = FeaturesSpec.model_validate(
    {"v": {"key": "k", "source": {"table": "ev", "event_time": "seen"}, "features": {"z": {"dtype": "float"}}}}
)


def read(folder: Path, problem: ProblemSpec) -> tuple[Path, list[Mistake]]:
    """Read the tables as a run does, with the mistakes that it finds then."""
    target = folder / "out"
    target.mkdir(exist_ok=True)
    read_tables(problem, FEATURES, folder, HARDWARE, target)
    try:
        refuse_undecided(problem, FEATURES, target)
    except UserError as error:
        return target, list(error.mistakes)
    return target, []


def write(folder: Path, at: str, source: str, *, zoned: bool = True) -> None:
    own: dict[str, Any] = {"k": [one % 3 for one in range(40)], at: TIMES, "y": [one % 2 for one in range(40)]}
    if source.endswith(".csv"):
        lines = zip(*({**own, at: [one.isoformat(" ") for one in TIMES]}).values(), strict=True)
        (folder / source).write_text("\n".join([",".join(own), *(",".join(map(str, one)) for one in lines)]))
    else:
        pq.write_table(pa.table(own), folder / source)
    seen = pa.array(TIMES, pa.timestamp("us", "UTC" if zoned else None))
    pq.write_table(pa.table({"k": own["k"], "seen": seen, "z": [0.5] * 40}), folder / "ev.parquet")


@pytest.mark.parametrize("at", ["at", "timestamp", "order"])
@pytest.mark.parametrize("source", ["ex.csv", "ex.parquet"])
def test_both_readings_are_told_and_each_works_when_it_is_written(source: str, at: str, tmp_path: Path) -> None:
    write(tmp_path, at, source)
    _, mistakes = read(tmp_path, problem_of(ZONE, at, source))
    (mistake,) = mistakes
    assert mistake.key == f"problem.tables.ex.columns.{at}"
    assert f"the times of '{at}' have no time zone and split.timezone is {ZONE}" in mistake.message
    as_utc, as_local = re.split(r" or (?=columns: )", mistake.message.partition("; write ")[2])
    for line, zone in ((as_utc, UTC), (as_local, ZoneInfo(ZONE))):
        folder, mistakes = read(tmp_path, problem_of(ZONE, at, source, **yaml.safe_load(line)))
        assert not mistakes
        assert pq.read_table(folder / "ex.parquet")[at].to_pylist() == [one.replace(tzinfo=zone) for one in TIMES]


@pytest.mark.parametrize("later", ["2024-01-31 22:00:00+02", "2024-01-31T22:00Z", "2024-01-31 22:00:00 UTC"])
@pytest.mark.parametrize("reading", [0, 1])
def test_a_line_that_is_proposed_refuses_a_later_cell_with_a_zone(reading: int, later: str, tmp_path: Path) -> None:
    write(tmp_path, "at", "ex.csv")
    (mistake,) = read(tmp_path, problem_of(ZONE, "at"))[1]
    line = re.split(r" or (?=columns: )", mistake.message.partition("; write ")[2])[reading]
    with (tmp_path / "ex.csv").open("a") as file:
        file.write(f"\n1,{later},1\n")
    with pytest.raises(UserError) as caught:
        read(tmp_path, problem_of(ZONE, "at", **yaml.safe_load(line)))
    assert [one.key for one in caught.value.mistakes] == ["problem.tables.ex.columns.at"]


def test_a_line_that_is_proposed_refuses_a_later_file_with_a_zone(tmp_path: Path) -> None:
    write(tmp_path, "at", "ex.parquet")
    (mistake,) = read(tmp_path, problem_of(ZONE, "at", "ex.parquet"))[1]
    line = mistake.message.partition("; write ")[2].partition(" or columns")[0]
    table = pq.read_table(tmp_path / "ex.parquet")
    zoned = table.set_column(1, "at", table["at"].cast(pa.timestamp("us", "UTC")))
    pq.write_table(zoned, tmp_path / "ex.parquet")
    with pytest.raises(UserError, match=r"columns\.at"):
        read(tmp_path, problem_of(ZONE, "at", "ex.parquet", **yaml.safe_load(line)))


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "GMT"])
def test_where_days_are_those_of_utc_times_without_a_zone_are_too(zone: str, tmp_path: Path) -> None:
    write(tmp_path, "at", "ex.csv", zoned=False)
    folder, mistakes = read(tmp_path, problem_of(zone, "at"))
    assert not mistakes
    assert pq.read_table(folder / "ex.parquet")["at"].to_pylist() == [one.replace(tzinfo=UTC) for one in TIMES]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"types": {"at": "TIMESTAMP"}}, "at"),
        ({"date_format": {"at": "%Y-%m-%d %H:%M:%S"}}, "at"),
        ({"columns": {"due": f"{AT}::timestamp + interval 1 hour"}}, "due"),
        ({"columns": {"AT": f"{AT}::timestamp"}}, "AT"),
        ({"columns": {"due": AT}, "types": {"at": "TIMESTAMP"}}, "due"),
    ],
)
def test_a_type_a_format_or_an_expression_without_a_zone_decides_nothing(
    table: dict[str, Any], key: str, tmp_path: Path
) -> None:
    write(tmp_path, "at", "ex.csv")
    _, mistakes = read(tmp_path, problem_of(ZONE, key, **table))
    assert f"problem.tables.ex.columns.{key}" in [one.key for one in mistakes]


@pytest.mark.parametrize(
    "table",
    [
        {"types": {"at": "TIMESTAMPTZ"}},
        {"columns": {"at": f"timezone('{ZONE}', {AT}::timestamp)"}},
        {"columns": {"at": f"{AT}::timestamptz"}},
    ],
    ids=str,
)
def test_a_type_or_an_expression_with_a_zone_decides(table: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "at", "ex.csv")
    assert not read(tmp_path, problem_of(ZONE, "at", **table))[1]


def test_moments_of_events_are_refused_too_for_they_would_be_hours_from_the_examples(tmp_path: Path) -> None:
    write(tmp_path, "at", "ex.csv", zoned=False)
    _, mistakes = read(tmp_path, problem_of(ZONE, "at", columns={"at": f"timezone('{ZONE}', {AT}::timestamp)"}))
    assert [one.key for one in mistakes] == ["problem.tables.ev.columns.seen"]
