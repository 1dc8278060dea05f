"""Classes of a label: by name, declared or found in training, and what cannot be learned is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from proml_kedro.errors import UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.results import TrainingSetFacts
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import LabelSpec, ProblemSpec
from shop import HARDWARE

FEATURES = FeaturesSpec.model_validate({"row": {"source": "request", "features": {"x": {"dtype": "float"}}}})
PARTS = ["train", "train", "validation", "test"] * 10


def build(folder: Path, values: list[Any], parts: list[str] = PARTS, **label: Any) -> tuple[list[Any], Any]:
    """The labels of a training set, as numbers, and what is said of it."""
    pc.write_csv(pa.table({"x": range(len(values)), "kind": values, "part": parts}), folder / "rows.csv")
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"rows": {"source": "rows.csv"}},
            "examples": {"table": "rows"},
            "label": {"expression": "kind", "task": "multiclass", **label},
            "split": {"by": "column", "column": "part"},
        }
    )
    for name in ("tables", "out"):
        (folder / name).mkdir()
    read_tables(problem, None, folder, HARDWARE, folder / "tables")
    build_training_set(problem, FEATURES, {"row.x": "float"}, folder / "tables", None, HARDWARE, folder / "out")
    table = pq.read_table(folder / "out" / "training_set.parquet")
    return table["label"].to_pylist(), TrainingSetFacts.read(folder / "out")


COLOURS = ["red", "red", "blue", "red", "blue", "green'd", "red", "blue", "green'd", "blue"] * 4


def test_classes_are_those_of_training_by_name(tmp_path: Path) -> None:
    labels, facts = build(tmp_path, COLOURS)
    assert facts.classes == ("blue", "green'd", "red")
    assert [facts.classes[int(one)] for one in labels] == COLOURS
    test = [colour for colour, part in zip(COLOURS, PARTS, strict=True) if part == "test"]
    assert dict(facts.splits["test"].classes) == {name: test.count(name) for name in facts.classes}
    assert facts.splits["test"].label_mean is None, "the mean of numbers of classes means nothing"


def test_declared_classes_keep_their_order(tmp_path: Path) -> None:
    labels, facts = build(tmp_path, COLOURS, classes=["red", "green'd", "blue"])
    assert facts.classes == ("red", "green'd", "blue")
    assert [facts.classes[int(one)] for one in labels] == COLOURS


def test_whole_numbers_are_names_in_the_order_of_numbers(tmp_path: Path) -> None:
    values = [10, 9, -2, 10, 9, 10, 9, -2, -2, 10] * 4
    labels, facts = build(tmp_path, values)
    assert facts.classes == ("-2", "9", "10")
    assert [int(facts.classes[int(one)]) for one in labels] == values


def test_numbers_beyond_single_precision_are_classes_of_their_own(tmp_path: Path) -> None:
    values = [2**53, 2**53 + 1, 16777216, 16777217] * 10
    parts = ["train", "train", "train", "train", "validation", "validation", "test", "test"] * 5
    labels, facts = build(tmp_path, values, parts)
    assert [int(facts.classes[int(one)]) for one in labels] == values


def test_declared_numbers_are_their_text(tmp_path: Path) -> None:
    _, facts = build(tmp_path, [1, 2, 1, 1, 2, 1, 2, 2] * 5, classes=[2, 1])
    assert facts.classes == ("2", "1")


@pytest.mark.parametrize(
    ("values", "label", "key", "message"),
    [
        (
            [*COLOURS[:-1], "pink"],
            {},
            "expression",
            "'pink' is the class of 1 examples of test and of none of train, which cannot learn it; divide otherwise",
        ),
        (
            [*COLOURS[:-1], "blu"],
            {"classes": ["red", "green'd", "blue"]},
            "classes",
            "does not name 'blu', which 1 examples have; name it, or leave them out with label.drop_when. Did you mean",
        ),
        (COLOURS, {"classes": ["red", "green'd", "blue", "pink"]}, "classes", "names 'pink', of which there is no"),
        ([f"row {number}" for number in range(3010)], {}, "expression", "has more than 1,000 classes"),
        ([*COLOURS[:-1], None], {}, "expression", "is null or not finite for 1 of 40 examples"),
        (["red"] * 40, {}, "expression", "is 'red' for all 20 examples of the train part"),
        ([0.5, 1.5] * 20, {}, "expression", "is DOUBLE, and classes are text or whole numbers; write CAST(kind AS"),
    ],
    ids=["unseen", "undeclared", "never", "many", "null", "one", "fractions"],
)
def test_what_cannot_be_learned_is_one_line(
    tmp_path: Path, values: list[Any], label: dict[str, Any], key: str, message: str
) -> None:
    parts = (PARTS * 80)[: len(values)]
    with pytest.raises(UserError) as caught:
        build(tmp_path, values, parts, **label)
    (mistake, *_) = caught.value.mistakes
    assert (mistake.key, message in mistake.message) == (f"problem.label.{key}", True), mistake
    assert not list((tmp_path / "out").iterdir())


def test_an_unseen_class_can_be_left_out(tmp_path: Path) -> None:
    labels, facts = build(tmp_path, [*COLOURS[:-1], "pink"], drop_when="kind = 'pink'")
    assert (len(labels), facts.dropped, len(facts.classes)) == (39, 1, 3)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"classes": ["a", "b"]}, "classes is for task 'multiclass', and the task is 'binary'"),
        ({"task": "multiclass", "classes": ["a"]}, "classes names 'a' alone; it takes two"),
        ({"task": "multiclass", "classes": ["a", 1, "1"]}, "classes names '1' twice"),
        ({"task": "multiclass", "classes": [True, False]}, "true"),
        ({"task": "multiclass", "classes": [1.0, 2.0]}, "1.0 is no name of a class"),
        ({"task": "multiclass", "ordered": True}, "ordered needs classes, in their order"),
    ],
)
def test_names_of_classes_are_checked(label: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LabelSpec.model_validate({"expression": "kind", **label})
