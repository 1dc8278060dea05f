"""A project in a notebook: each object holds what commands and files say, and shows itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import proml_kedro
from proml_kedro.cli import cli
from proml_kedro.errors import UserError
from proml_kedro.notebook import Frame, OpenedProject
from proml_kedro.notebook.keys import as_keys, as_table
from proml_kedro.notebook.progress import Progress
from proml_kedro.results import Metrics
from proml_kedro.workflow.plan import STEPS, needed_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def project(finished_shop: Any) -> OpenedProject:
    return proml_kedro.open_project(finished_shop.folder)


def asked(shop: Any, *words: str) -> Any:
    place = f"data_dir={shop.data}"
    options = ["--set", place] if words[0] == "compare" else [place]
    done = CliRunner().invoke(cli, [*words, *options, "--json", "--conf-source", str(shop.conf)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_training_set_is_the_file_of_the_run(project: OpenedProject, finished_shop: Any) -> None:
    file = finished_shop.result("training_set") / "training_set.parquet"
    whole = pq.read_table(file)
    made = project.training_set("shop")
    assert made.path.resolve() == file.resolve(), "taken over"
    assert (len(made), made.columns) == (whole.num_rows, whole.column_names)
    assert made.arrow().equals(whole)
    counted = duckdb.sql(f"SELECT split, count(*), avg(label) FROM '{file}' GROUP BY 1 ORDER BY 1").fetchall()
    assert made.relation().aggregate("split, count(*), avg(label)").order("split").fetchall() == counted
    for split, rows, mean in counted:
        assert len(made.pandas(["label"], split)) == len(made.polars(["label"], split)) == rows
        assert made.pandas(["label"], split)["label"].mean() == pytest.approx(mean)
    assert {row["split"]: row["rows"] for row in made.splits()} == {one[0]: one[1] for one in counted}
    assert pa.table(made).num_rows == len(pd.DataFrame(made.pandas())) == len(made)
    with pytest.raises(UserError, match=r"no column 'labl'\. Did you mean 'label'"):
        made.arrow(["labl"])
    with pytest.raises(UserError, match=r"no split 'tset'\. Did you mean 'test'"):
        made.pandas(split="tset")


def test_features_as_of_a_moment_are_those_of_training(project: OpenedProject) -> None:
    made = project.training_set(features=["*"])
    rows = made.arrow().slice(0, 300)
    stored = [name for name in rows.column_names if "." in name and not name.startswith(("request.", "visit."))]
    names = [one for one in stored if one in project.spec.features.columns()]
    stored = [one for one in names if project.spec.features.views[one.partition(".")[0]].is_stored]
    assert stored
    found = project.features.frame(rows, features=stored)
    for name in stored:
        assert found.arrow()[name].to_pylist() == pytest.approx(rows[name].to_pylist(), nan_ok=True), name
    entity = project.spec.problem.examples.entities[0]
    keys = {entity: rows[entity].to_pylist()[:5]}
    before = project.features.frame(keys, as_of="1990-01-01T00:00Z", features=stored[:1])
    assert before[stored[0]] in ([None] * 5, [0] * 5), "nothing was known, or nothing had been counted"
    assert len(project.features.frame(keys)) == 5
    with pytest.raises(UserError, match=f"the rows have no key '{entity}'"):
        project.features.frame({"x": [1]}, features=stored)
    with pytest.raises(UserError, match=r"no stored feature 'nothing\.here'"):
        project.features.frame(keys, features=["nothing.here"])
    with pytest.raises(UserError, match="is no moment of ISO 8601"):
        project.features.frame(keys, as_of="yesterday")
    with pytest.raises(UserError, match="as_of has 1 moments for 5 rows"):
        project.features.frame(keys, as_of=["2024-01-01"])  # type: ignore[list-item]


def test_keys_are_of_the_types_of_the_feature_tables() -> None:
    text, number = {"key": pa.string()}, {"key": pa.int64()}

    def taken(values: list[Any], types: dict[str, pa.DataType]) -> list[Any]:
        return as_keys(as_table({"key": values, "x": list(range(len(values)))}), types)["key"].to_pylist()

    assert taken(["012", None], text) == ["012", None]
    assert taken([1.0, float("nan"), 3.0], number) == [1, None, 3]
    assert taken([None, None], text) == [None, None]
    for values, types in (([12, 200], text), (["12"], number), ([1.5], number), ([True], text)):
        with pytest.raises(UserError, match=r"the key 'key' is .* in the feature tables; here it is"):
            taken(values, types)
    with pytest.raises(UserError, match="'key' is one text; give a list of values"):
        as_table({"key": "C0001"})
    with pytest.raises(UserError, match="the columns are no table"):
        as_table({"key": [1], "other": [1, 2]})
    with pytest.raises(UserError, match="'list' is no data frame"):
        as_table([1])


def test_a_key_of_another_type_is_refused_and_a_missing_one_has_nothing(project: OpenedProject) -> None:
    entity = project.spec.problem.examples.entities[0]
    stored = [
        name
        for name in project.spec.features.columns()
        if project.spec.features.views[name.partition(".")[0]].is_stored
    ]
    kind = (
        project.features.frame({entity: project.training_set().arrow([entity])[entity].to_pylist()[:1]})
        .arrow()[entity]
        .type
    )
    wrong = ["x"] if pa.types.is_integer(kind) else [1]
    with pytest.raises(UserError, match=f"the key '{entity}' is"):
        project.features.frame({entity: wrong}, features=stored)
    missing = [float("nan")] if pa.types.is_integer(kind) else [None]
    found = project.features.frame({entity: missing}, features=stored)
    assert [found[name] for name in stored] == [[None]] * len(stored)


def test_a_search_finds_what_the_command_finds(project: OpenedProject, finished_shop: Any) -> None:
    found = project.features.search("orders")
    told = asked(finished_shop, "features", "search", "orders")
    assert found["name"] == [one["name"] for one in told["features"]]
    assert len(found) > 0
    some = project.features.search(dtype="float")
    assert set(some["dtype"]) == {"float"}
    with pytest.raises(UserError, match=r"no dtype 'flot'\. Did you mean 'float'"):
        project.features.search(dtype="flot")
    with pytest.raises(UserError, match="no filter 'colour'"):
        project.features.search(colour="red")


def test_runs_and_comparisons_are_those_of_the_commands(project: OpenedProject, finished_shop: Any) -> None:
    project.run("model=logistic")
    table = project.runs.table()
    told = asked(finished_shop, "runs", "list", "--limit", "1000")
    assert table["id"] == [one["id"] for one in told]
    for row, one in zip(table, told, strict=True):
        assert (row["model"], row["state"]) == (one["model"], one["state"])
        assert all(row[name] == value for name, value in one["metrics"].items())
    compared = project.compare("logistic", "xgboost")
    (theirs,) = asked(finished_shop, "compare", "logistic", "xgboost")["comparisons"]
    for row in compared:
        difference = theirs["differences"][row["metric"]]["difference"]
        assert abs(row["Lift"]) == pytest.approx(abs(difference))
        assert (row["NewModel"] > row["Baseline"]) == (difference > 0)
        better = (difference > 0) == (row["metric"] in ("auc", "average_precision"))
        assert row["Lift"] == 0 or (row["Lift"] > 0) == better
    assert compared.verdicts == {"xgboost": theirs["verdict"]}
    assert theirs["text"] in compared.title
    with pytest.raises(UserError, match="'logistic' is compared with nothing"):
        project.compare("logistic")
    with pytest.raises(UserError, match="a margin is above 0"):
        project.compare("logistic", "xgboost", margin=-1)


def test_a_run_says_how_far_it_is_and_what_it_came_to(project: OpenedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Progress, "_show", lambda self, last=False: shown.append(f"{self.done} {self._at}".strip()))
    made = project.run("model=logistic", results=("evaluation",))
    steps = [STEPS[one].name for one in needed_for(("evaluation",))]
    assert shown == [*(f"{place} {name}" for place, name in enumerate(steps)), str(len(steps))]
    metrics = json.loads((made["evaluation"].path / "metrics.json").read_text())
    table = made.table()
    assert table.title == Metrics.read(made["evaluation"].path).verdict.in_words  # type: ignore[union-attr]
    assert f"{table['Lift'][0]:+.4f}" in table.title
    assert table["NewModel"] == list(metrics["candidate"].values())
    assert table["Baseline"] == list(metrics["baseline"].values())
    for row in table:
        found = metrics["differences"][row["metric"]]
        way = 1 if row["metric"] in ("auc", "average_precision") else -1
        assert row["Lift"] == pytest.approx(way * found["difference"])
        assert [row["low"], row["high"]] == pytest.approx(sorted((way * found["low"], way * found["high"])))
    assert repr(project.run(results=("tables",))).startswith("1 results")
    shown.clear()
    with pytest.raises(UserError, match="no result 'evaluatoin'"):
        project.run(results=("evaluatoin",))
    assert not shown


def test_label_rates_are_means_of_labels(project: OpenedProject) -> None:
    numbers = [name for name, dtype in project.spec.features.columns().items() if dtype in ("float", "int")]
    rows = project.training_set(features=numbers[:1]).pandas(split="train")
    plot = project.plot.label_rate(numbers[0])
    assert sum(plot["rows"]) == len(rows)
    total = sum(count * mean for count, mean in zip(plot["rows"], plot["share of positive rows"], strict=True))
    assert total / len(rows) == pytest.approx(rows["label"].mean())
    missing = rows[numbers[0]].isna()
    if missing.any():
        assert dict(zip(plot[numbers[0]], plot["share of positive rows"], strict=True))["missing"] == pytest.approx(
            rows["label"][missing].mean()
        )
    assert plot.svg.startswith("<svg")
    assert "<svg" in plot._repr_html_()
    bars = go.Figure(dict(plot.figure)).data[0]
    assert list(bars.y) == plot["share of positive rows"]
    reached = [high - mean for high, mean in zip(plot["high"], bars.y, strict=True)]
    assert list(bars.error_y.array) == pytest.approx(reached)
    with pytest.raises(UserError, match="a confidence is between 0 and 1"):
        project.plot.label_rate(numbers[0], confidence=95)
    with pytest.raises(UserError, match="no feature 'nothing'"):
        project.plot.label_rate("nothing")
    drawn = project.plot.calibration()
    assert sum(drawn["rows"]) == len(project.training_set().arrow(["label"], "test"))


def test_scores_are_explained_and_sum_to_the_margin(project: OpenedProject, finished_shop: Any) -> None:
    bundle = project.bundle(finished_shop.result("bundle"))
    rows = project.training_set().pandas(split="test").head(50)
    found = bundle.explain_frame(rows)
    margin = np.sum([found[name].to_numpy() for name in found.column_names], axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), bundle.score_frame(rows), atol=1e-6)
    nothing = bundle.explain_frame(rows.head(0))
    assert (nothing.num_rows, nothing.column_names) == (0, found.column_names)


def test_frames_show_themselves_without_markup_of_their_own() -> None:
    frame = Frame.of([{"name": "<b>x</b>", "n": one / 3} for one in range(50)], ["name", "n", "none"], "50 <rows>")
    html = frame._repr_html_()
    assert "<b>x</b>" not in html
    assert "50 &lt;rows&gt;" in html
    assert "… and 10 more rows" in html
    assert repr(frame).splitlines()[:3] == ["50 <rows>", "name      n         none", "<b>x</b>  0"]
    assert list(frame.pandas()["n"])[:2] == [0, 1 / 3]
    assert frame.polars().height == duckdb.sql("SELECT count(*) FROM frame").fetchall()[0][0] == 50


def test_another_problem_and_further_overrides_are_projects_of_the_same_sort(
    project: OpenedProject, tmp_path: Path
) -> None:
    assert isinstance(project.with_overrides("seed=9"), OpenedProject)
    with pytest.raises(UserError, match="no problem 'shp'"):
        project.training_set("shp")
    with pytest.raises(UserError, match=r"there is no conf/config\.yaml"):
        proml_kedro.open_project(tmp_path)
