"""One schema of the training set: nothing else in the package writes its columns' names as text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import proml_kedro
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, FILE, RESERVED, TrainingSetSchema, cluster_columns

PACKAGE = Path(proml_kedro.__file__).parent
NAMES = {*RESERVED, CREATED_TIMESTAMP, FILE}

OTHER_MEANINGS = {
    "column_functions/dates.py": {"day"},  # a unit of time
    "commands/anomaly_labels.py": {"label"},  # a command
    "config/composition.py": {"group"},  # of configuration files
    "config/defaults.py": {"group"},
    "evaluation/plots.py": {"label"},  # of an axis
    "extensions.py": {"split"},  # the registry
    "features/tables/readers/postgresql.py": {"timestamp"},  # a type
    "features/training/classes.py": {"label"},  # a key of the problem's YAML
    "features/training/splits/random.py": {"group"},  # a key of its YAML
    "generators/job_search.py": {"event_timestamp"},  # a source table of the example
    "health/over_time/join.py": {"day"},  # a unit of time
    "health/over_time/labels.py": {"label"},  # a column of tables of labels
    "health/over_time/report.py": {"day", "label"},  # a unit of time, an attribute
    "health/over_time/write.py": {"label"},  # a column of a table for people
    "marketplace/entry.py": {"day"},  # a unit of time
    "spec/__init__.py": {"split"},  # a module
    "spec/moments.py": {"day"},  # a unit of time
    "spec/problem.py": {"split"},  # a key of the YAML
    "spec/rank.py": {"group"},  # a value of its YAML
    "spec/run.py": {"timestamp"},
}


def texts(file: Path) -> Iterator[tuple[str, int]]:
    """Strings of a file that are neither docstrings nor keys of the configuration's own mappings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    configuration = {
        id(key)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
        for key in [node.slice]
        if isinstance(node.value, ast.Name) and node.value.id == "problem"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in configuration:
            yield node.value, node.lineno


def test_columns_are_named_in_one_place() -> None:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE).as_posix()
        if place == "spec/training_set.py" or place.startswith("testing/"):  # the laws write YAML
            continue
        found += [
            f"{place}:{line}: {text!r}"
            for text, line in texts(file)
            if (text in NAMES and text not in OTHER_MEANINGS.get(place, ())) or text.startswith("label.")
        ]
    assert not found


def make_problem(**changes: object) -> ProblemSpec:
    return ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": {"source": "t.csv"}},
            "examples": {"table": "t", "entities": ["user"], "timestamp": "at"},
            "label": {"expression": "y"},
            "split": {"validation_from": "2024-01-02", "test_from": "2024-01-03"},
            **changes,
        }
    )


def test_columns_in_the_order_of_the_file() -> None:
    assert list(TrainingSetSchema(make_problem(), {"v.x": "int"}).columns.items()) == [
        ("example_id", "id"),
        ("user", "key"),
        ("timestamp", "moment"),
        ("event_timestamp", "moment"),
        ("day", "date"),
        ("split", "split"),
        ("label", "label"),
        ("v.x", "int"),
    ]


def test_what_goes_with_the_label() -> None:
    examples = {"table": "t", "entities": ["user"], "timestamp": "at", "group": "list", "weight": "2"}
    problem = make_problem(examples=examples, auxiliary_labels={"clicks": "c"})
    assert TrainingSetSchema(problem, {}).labels == ["label", "weight", "group", "label.clicks"]
    assert cluster_columns(problem) == ["day", "user", "group"]
