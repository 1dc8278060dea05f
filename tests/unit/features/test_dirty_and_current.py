"""D18: one run names all that cannot be read, with the line that mends it. D20: current rows are read as training's."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.training.training_set import build_training_set
from proml_kedro.health.read_current import read_current
from proml_kedro.models.columns import read_columns
from proml_kedro.models.component import Input
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import FILE
from shop import HARDWARE

ROWS = 40


def problem_of(source: str, **table: Any) -> ProblemSpec:
    return ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"ex": {"source": source, **table}},
            "examples": {"table": "ex", "entities": ["k"], "timestamp": "at"},
            "label": {"expression": "y = 1"},
            "split": {"validation_from": "2024-01-15", "test_from": "2024-01-25"},
        }
    )


def features_of(**features: str) -> FeaturesSpec:
    declared = {name: {"dtype": dtype} for name, dtype in features.items()}
    return FeaturesSpec.model_validate({"r": {"source": "request", "features": declared}})


def csv(columns: Mapping[str, list[str]], delimiter: str = ",") -> str:
    own = {
        "k": [str(one % 5) for one in range(ROWS)],
        "at": [f"2024-01-{1 + one % 31:02d}" for one in range(ROWS)],
        "y": [str(one // 2 % 2) for one in range(ROWS)],
        **columns,
    }
    lines = zip(*own.values(), strict=True)
    return "\n".join([delimiter.join(own), *map(delimiter.join, lines)]) + "\n"


def refused(folder: Path, problem: ProblemSpec, features: FeaturesSpec) -> dict[str, Mistake]:
    (folder / "out").mkdir(exist_ok=True)
    with pytest.raises(UserError) as caught:
        read_tables(problem, features, folder, HARDWARE, folder / "out")
    return {one.key.removeprefix("problem.tables.ex."): one for one in caught.value.mistakes}


def some(cell: str, *others: str) -> list[str]:
    """A column of one cell, but for the others in rows 3, 4, …"""
    return [cell, cell, *others, *[cell] * (ROWS - 2 - len(others))]


# D18 and siblings ------------------------------------------------------------------------------------------------


def test_d18_every_column_that_cannot_be_read_is_named_at_once(tmp_path: Path) -> None:
    cells = {"price": some("12.5", '"12,50"', '"7,25"'), "cost": some("1", "n/a"), "ok": some("yes", "perhaps")}
    (tmp_path / "ex.csv").write_text(csv({**cells, "due": some("2024-01-31", "31.12.2023", "24.12.2023", "?")}))
    columns = {"due_at": "due::timestamp"}
    features = features_of(price="float", cost="int", ok="bool")
    table = {"columns": columns, "types": {"due": "DATE"}}
    found = refused(tmp_path, problem_of("ex.csv", **table), features)
    assert set(found) == {"types.price", "types.cost", "types.ok", "types.due"}
    said = {name: one.message for name, one in found.items()}
    assert "2 of 40 cells of 'price' are no numbers" in said["types.price"]
    assert "'12,50' (row 3), '7,25' (row 4)" in said["types.price"]
    assert "1 of 40 cells of 'cost' are no whole numbers" in said["types.cost"]
    assert "'n/a' (row 3); write null_words: [NA, 'n/a']" in said["types.cost"]
    assert "1 of 40 cells of 'ok' are no truth values" in said["types.ok"]
    assert "no format reads its 40 cells: 37 ISO 8601, 2 %d.%m.%Y, 1 none of these: '?' (row 5)" in said["types.due"]
    assert "write null_words for what is none, or columns: {due: " in said["types.due"]


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["'12,50'", "3.5"], "float", [12.5, 3.5]),
        (["'1.234,50'", "'7,25'"], "float", [1234.5, 7.25]),
        (["'1,234,567'", "'8,000'"], "float", [1234567, 8000]),
        (["n/a", "4"], "int", [None, 4]),
    ],
)
def test_d18_the_line_that_is_proposed_mends_the_column(
    tmp_path: Path, cells: list[str], dtype: str, values: list[Any]
) -> None:
    quoted = [one.replace("'", '"') for one in cells]
    (tmp_path / "ex.csv").write_text(csv({"x": some(quoted[0], *quoted[1:])}))
    features = features_of(x=dtype)
    (mistake,) = refused(tmp_path, problem_of("ex.csv"), features).values()
    line = re.split(r"[;:] write ", mistake.message)[-1].partition(" if ")[0]
    line = re.split(r" or (?=columns|decimal)", line)[0].removesuffix(" for all of the file")
    keys = yaml.safe_load("\n".join(line.split(" and ")))
    read_tables(problem_of("ex.csv", **keys), features, tmp_path, HARDWARE, tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "ex.parquet")["x"].to_pylist()[1:3] == values


def test_d18_columns_of_several_tables_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "ex.csv").write_text(csv({"x": some("1.5", "one")}))
    (tmp_path / "ev.csv").write_text("k,seen,z\n1,2024-01-01,0.5\n1,2024-01-02,half\n1,soon,0.5\n")
    content = problem_of("ex.csv").model_dump(exclude_unset=True)
    problem = ProblemSpec.model_validate({**content, "tables": {**content["tables"], "ev": {"source": "ev.csv"}}})
    view = {"key": "k", "source": {"table": "ev", "event_time": "seen"}, "features": {"z": {"dtype": "float"}}}
    request = {"source": "request", "features": {"x": {"dtype": "float"}}}
    found = refused(tmp_path, problem, FeaturesSpec.model_validate({"v": view, "r": request}))
    assert set(found) == {"types.x", "problem.tables.ev.types.z", "problem.tables.ev.types.seen"}


# D20 and siblings ------------------------------------------------------------------------------------------------

RAW = {
    "flag": ["yes", "no"] * (ROWS // 2),
    "day": [f"2024-01-{1 + one % 9:02d}" for one in range(ROWS)],
    "code": ["1.0", "1.10", "007", "1e5"] * (ROWS // 4),
    "x": some("12.5", "", "1e3"),
    "n": [str(one) for one in range(ROWS)],
}
INPUTS = [Input("r.flag", "bool"), Input("r.day", "str"), Input("r.code", "str"), Input("r.x", "float")]
INPUTS += [Input("r.n", "int")]


def check_current(folder: Path, name: str, current: str, content: bytes, raw: bytes, **table: Any) -> None:
    """Raw rows under the inputs' names are what training has made of the same rows."""
    (folder / name).write_bytes(content)
    (folder / current).write_bytes(raw)
    features = features_of(flag="bool", day="str", code="str", x="float", n="int")
    problem = problem_of(name, **table)
    for one in ("tables", "set"):
        (folder / one).mkdir()
    read_tables(problem, features, folder, HARDWARE, folder / "tables")
    build_training_set(problem, features, features.columns(), folder / "tables", None, HARDWARE, folder / "set")
    true = read_columns(folder / "set" / FILE, INPUTS, precision="float64")
    found = read_current(folder / current, INPUTS, HARDWARE, features, problem.tables["ex"])
    assert set(found) == set(true)
    for column, values in true.items():
        np.testing.assert_array_equal(found[column], values, column)


def named(text: str, delimiter: str = ",") -> str:
    """The same file with the inputs' names, as rows to be watched have them."""
    header, _, rest = text.partition("\n")
    return delimiter.join(f"r.{one}" for one in header.split(delimiter)) + "\n" + rest


def test_d20_raw_rows_are_read_as_training_reads_them(tmp_path: Path) -> None:
    text = csv(RAW)
    check_current(tmp_path, "ex.csv", "now.csv", text.encode(), named(text).encode())


def test_d20_in_the_dialect_of_the_examples(tmp_path: Path) -> None:
    german = {name: [one.replace(".", ",") if name == "x" else one for one in cells] for name, cells in RAW.items()}
    german["x"][5] = "-"
    text = csv(german, ";")
    keys: dict[str, Any] = {"delimiter": ";", "decimal": ",", "null_words": ["-"]}
    check_current(tmp_path, "ex.csv", "now.csv", text.encode(), named(text, ";").encode(), **keys)


def test_d20_names_of_the_examples_are_not_those_of_the_inputs(tmp_path: Path) -> None:
    text = csv(RAW, ";")
    header, _, rest = text.partition("\n")
    keys: dict[str, Any] = {"delimiter": ";", "header": False, "names": header.split(";")}
    check_current(tmp_path, "ex.csv", "now.csv", rest.encode(), named(text, ";").encode(), **keys)


def test_d20_packed_and_in_another_encoding(tmp_path: Path) -> None:
    text = csv({**RAW, "code": ["é", "ß", "1.0", "1.10"] * (ROWS // 4)})
    first, second = (gzip.compress(one.encode("latin-1")) for one in (text, named(text)))
    check_current(tmp_path, "ex.csv.gz", "now.csv.gz", first, second, encoding="latin-1")


def test_d20_a_file_of_another_sort_has_its_own_dialect(tmp_path: Path) -> None:
    text = csv(RAW, ";")
    lines = [dict(zip(RAW, row, strict=True)) for row in zip(*RAW.values(), strict=True)]
    numbers = {"x": float, "n": int}
    records = [
        {f"r.{name}": numbers.get(name, str)(one) if one else None for name, one in line.items()} for line in lines
    ]
    raw = "\n".join(map(json.dumps, records))
    check_current(tmp_path, "ex.csv", "now.jsonl", text.encode(), raw.encode(), delimiter=";")
