"""A rolling origin against brute force: which example is in which part of which fold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.training.folds import fold_sql
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import AnySplit, ExampleColumns
from shop import HARDWARE

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
STEP = timedelta(microseconds=1)


def split_of(**config: Any) -> Any:
    return TypeAdapter(AnySplit).validate_python({"by": "rolling", **config})


def moments(seed: int) -> list[datetime]:
    """Random moments with ties, and some at the very edges of weeks before the last one; a change of clocks too."""
    generator = np.random.default_rng(seed)
    hours = [START + timedelta(hours=int(one)) for one in generator.integers(0, 24 * 60, 400)]
    last = max(hours) + timedelta(minutes=7)
    edges = [last - week * 7 * DAY + offset * STEP for week in range(5) for offset in (-1, 0, 1)]
    return [one for one in [*hours, *edges, last] if one <= last]


def brute_force(every: timedelta, validation: timedelta, back: int, moment: datetime, newest: datetime) -> str | None:
    """The part of an example in the fold whose test period ends ``back`` periods before the newest example."""
    age = newest - moment
    if age < back * every:
        return None
    if age < (back + 1) * every:
        return "test"
    return "validation" if age < (back + 1) * every + validation else "train"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("every", "validation"), [("1w", None), ("5d", "2d"), ("36h", "10d")])
def test_rows_of_each_fold_are_those_of_brute_force(seed: int, every: str, validation: str | None) -> None:
    split = split_of(every=every, folds=4, **({"validation": validation} if validation else {}))
    at = moments(seed)
    newest, length = max(at), split.every
    chosen = split.validation or length
    with connect(HARDWARE) as session:
        session.register("rows", pa.table({"row": range(len(at)), "at": pa.array(at, pa.timestamp("us", "UTC"))}))
        parts = split.divide(ExampleColumns('"at"', '"at"'))
        own = dict(session.rows(f"SELECT row, {parts} FROM rows"))
        assert own == {row: brute_force(length, chosen, 0, one, newest) for row, one in enumerate(at)}
        folds = split.folds_until(newest)
        assert len(folds) == 4
        for back, fold in enumerate(reversed(folds)):
            parts = fold_sql('"at"', fold)
            found = dict(session.rows(f"SELECT row, {parts} FROM rows"))
            assert found == {row: brute_force(length, chosen, back, one, newest) for row, one in enumerate(at)}
            tested = [one for row, one in enumerate(at) if found[row] == "test"]
            learned = [one for row, one in enumerate(at) if found[row] in ("train", "validation")]
            assert max(learned) < min(tested), "nothing that trains is later than what judges"


def test_test_periods_of_folds_follow_each_other_without_a_gap() -> None:
    folds = split_of(every="1w", folds=6).folds_until(START)
    assert [one.end for one in folds[:-1]] == [one.test_from for one in folds[1:]]
    assert folds[-1].end == START + STEP


def build(folder: Path, every: str, folds: int, kinds: list[Any], task: str = "binary") -> Any:
    days = [START + number * DAY for number in range(len(kinds))]
    pc.write_csv(pa.table({"at": days, "kind": kinds}), folder / "rows.csv")
    label = {"expression": "kind = 'a'" if task == "binary" else "kind", "task": task}
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"rows": {"source": "rows.csv"}},
            "examples": {"table": "rows", "timestamp": "at"},
            "label": label,
            "split": {"by": "rolling", "every": every, "folds": folds},
        }
    )
    features = FeaturesSpec.model_validate({"row": {"source": "request", "features": {"kind": {"dtype": "str"}}}})
    for name in ("tables", "out"):
        (folder / name).mkdir()
    read_tables(problem, None, folder, HARDWARE, folder / "tables")
    build_training_set(problem, features, {"row.kind": "str"}, folder / "tables", None, HARDWARE, folder / "out")
    return pq.read_table(folder / "out" / "training_set.parquet")


def test_the_last_fold_is_the_split_of_the_training_set(tmp_path: Path) -> None:
    table = build(tmp_path, "10d", 3, ["a", "b"] * 30)
    parts = table["split"].to_pylist()
    assert parts == ["train"] * 40 + ["validation"] * 10 + ["test"] * 10


@pytest.mark.parametrize(
    ("every", "folds", "kinds", "task", "message"),
    [
        ("10d", 5, ["a", "b"] * 30, "binary", "in fold 1 of 5, tested from 2024-03-10 00:00 UTC to 2024-03-20 00:00"),
        ("10d", 5, ["a", "b"] * 30, "binary", "no example is in the train period; take fewer folds, or a longer every"),
        ("10d", 3, ["a", "b"] * 15 + ["a"] * 10 + ["a", "b"] * 10, "binary", "all labels of the test period are the"),
        ("10d", 3, ["a", "b"] * 10 + ["a", "b", "c"] * 13, "multiclass", "of the train period is of class 'c'"),
    ],
    ids=["where", "rows", "labels", "classes"],
)
def test_a_fold_that_cannot_be_learned_or_judged_is_one_line(
    tmp_path: Path, every: str, folds: int, kinds: list[str], task: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        build(tmp_path, every, folds, kinds, task)
    (mistake,) = caught.value.mistakes
    assert mistake.key == "problem.split.folds"
    assert message in mistake.message


@pytest.mark.parametrize("config", [{"every": "1w"}, {"every": "1w", "folds": 1}, {"every": "0s", "folds": 3}])
def test_folds_are_checked(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        split_of(**config)
