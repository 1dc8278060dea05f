"""What a notebook shows: effects, maps of vectors, figures, tables and errors, held to what they are made of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from proml_kedro.commands.model_effects import effects_command
from proml_kedro.errors import Mistake, UserError
from proml_kedro.notebook import chart
from proml_kedro.notebook.embedding import embedding_of, neighbours, principal
from proml_kedro.notebook.frame import Frame
from proml_kedro.notebook.lift import Lifts
from proml_kedro.notebook.opened_bundle import OpenedBundle
from proml_kedro.notebook.plots import Plot
from proml_kedro.notebook.progress import Progress
from small import make_bundle

PERSONAL = {
    "personal": {
        "kind": "mixed",
        "inputs": ["visit.city", "shop", "visit.price"],
        "fixed": ["visit.price"],
        "random_effects": [{"entity": "visit.city"}, {"entity": "shop"}],
    }
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenedBundle:
    return OpenedBundle.load(make_bundle(tmp_path_factory.mktemp("personal"), components=PERSONAL))


def told(bundle: OpenedBundle, *words: str) -> Any:
    done = CliRunner().invoke(effects_command(), [str(bundle.path), "--json", *words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["personal"]["entities"]


def test_effects_are_those_of_the_command(bundle: OpenedBundle) -> None:
    lima = bundle.effects({"visit.city": "Lima"})
    (theirs,) = told(bundle, "--entity", "visit.city=Lima")
    (ours,) = lima
    assert ours == {name: value for name, value in theirs.items() if name != "known"}
    assert ours["value"] > 0, "Lima sells more"
    for number in (7, np.int64(7), "7"):
        assert bundle.effects({"shop": number})["value"] == [told(bundle, "--entity", "shop=7")[0]["value"]]
    most = bundle.effects(top=2)
    assert [row["entity"] for row in most] == [one["entity"] for one in told(bundle, "--top", "2")]
    unknown = bundle.effects({"visit.city": "Rome"})
    assert "'Rome' is not known: it is scored as the population" in unknown.title
    assert unknown["value"] == [0.0]


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"visit.town": "Lima"}, "no entity 'visit.town'. Did you mean"),
        ({"shop": 7.5}, "'shop' is 7.5; an entity is a text or a whole number"),
        ({"shop": True}, "'shop' is True; an entity is a text or a whole number"),
    ],
)
def test_what_is_no_entity_is_refused(bundle: OpenedBundle, entity: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        bundle.effects(entity)


def test_a_bundle_without_effects_says_so(tmp_path: Path) -> None:
    trees = OpenedBundle.load(make_bundle(tmp_path))
    with pytest.raises(UserError, match="no component of this bundle has effects of entities"):
        trees.effects(member_id=42)
    assert repr(trees).startswith("bundle sales-xgboost v1: 7 inputs; auc 0.8000")


def vectors(labels: int = 9, rows: int = 400, size: int = 5) -> tuple[pa.Table, dict[str, Any]]:
    """Rows with a label and a vector around the label's own, some of either missing; and the mean of each label."""
    generator = np.random.default_rng(4)
    own = generator.normal(size=(labels, size))
    code = generator.integers(0, labels, rows)
    values = own[code] + 0.1 * generator.normal(size=(rows, size))
    names = [f"label {one}" if one % 17 else None for one in code.tolist()]
    lists = [None if place % 11 == 0 else row for place, row in enumerate(values.tolist())]
    means: dict[str, Any] = {}
    for name in sorted({one for one in names if one}):
        means[name] = np.mean([row for row, one in zip(lists, names, strict=True) if one == name and row], axis=0)
    return pa.table({"job.vector": pa.array(lists, pa.list_(pa.float64())), "job.title": names}), means


def test_a_map_is_the_principal_components_of_the_mean_vectors() -> None:
    table, means = vectors()
    section = embedding_of(table, 5, 60)
    matrix = np.stack(list(means.values()))
    theirs = PCA(2).fit(matrix)
    places = theirs.transform(matrix)
    ours = np.array([row[1:3] for row in section.rows], float)
    assert [row[0] for row in section.rows] == list(means)
    np.testing.assert_allclose(np.abs(ours), np.abs(places), atol=1e-9)
    assert (ours[np.abs(ours).argmax(0), [0, 1]] > 0).all()
    assert f"{theirs.explained_variance_ratio_.sum():.0%} of how they differ" in section.sentence
    cosine = cosine_similarity(matrix) - 9 * np.eye(len(matrix))
    expected = [", ".join(list(means)[one] for one in np.argsort(-row)[:3]) for row in cosine]
    assert [row[4] for row in section.rows] == expected
    counts = [table.filter(pa.compute.equal(table["job.title"], name)) for name in means]
    assert [row[3] for row in section.rows] == [one.num_rows - one["job.vector"].null_count for one in counts]


def test_the_labels_of_the_most_rows_are_mapped_and_the_rest_is_counted() -> None:
    table, means = vectors()
    section = embedding_of(table, 5, 4)
    assert len(section.rows) == 4
    assert f"{len(means) - 4} with fewer rows are left out" in section.sentence
    with pytest.raises(UserError, match=r"2 values of 'job\.title' have a vector"):
        embedding_of(table, 5, 2)


def test_equal_vectors_and_zeros_are_mapped_without_a_warning() -> None:
    places, share = principal(np.ones((4, 3)))
    assert (places == 0).all()
    assert share == 0
    assert neighbours(np.array([[1.0, 0], [0, 0], [2, 0], [0, 1]])) == [[2, 3], [], [0, 3], [0, 2]]


def test_figures_are_figures_of_plotly_and_names_are_no_markup() -> None:
    rows = [{"city": "<b>Rome</b>", "rate": 0.25, "rows": 8, "low": 0.125, "high": 0.5}]
    rows += [{"city": "Oslo", "rate": 0.5, "rows": 3, "low": None, "high": None}]
    bars = go.Figure(dict(chart.bars(rows, "city", "rate")))
    assert list(bars.data[0].y) == [0.25, 0.5]
    assert list(bars.data[0].error_y.array) == [0.25, 0.0]
    assert list(bars.data[0].error_y.arrayminus) == [0.125, 0.0]
    assert list(bars.data[0].x) == ["&lt;b&gt;Rome&lt;/b&gt;", "Oslo"]
    points = [{"a": 1.0, "b": 2.0, "city": "Rome", "rows": 4, "nearest": "Oslo"}]
    assert go.Figure(dict(chart.points(points, "city", "a", "b"))).data[0].text == ("Rome",)
    said = [{"said": 0.1, "seen": 0.3, "rows": 5, "low": 0.2, "high": 0.4}]
    assert len(go.Figure(dict(chart.line(said, "said", "seen", diagonal=True))).layout.shapes) == 1
    assert len(go.Figure(dict(chart.line(said, "said", "seen", diagonal=False))).layout.shapes) == 0


def test_a_plot_is_a_figure_with_a_drawing_behind_it() -> None:
    table, _ = vectors()
    section = embedding_of(table, 5, 60)
    plot = Plot(section, lambda rows: chart.points(rows, *section.heading[:3]))
    kinds = plot._repr_mimebundle_()
    assert set(kinds) == {"text/plain", "text/html", "application/vnd.plotly.v1+json"}
    json.dumps(kinds["application/vnd.plotly.v1+json"])
    assert "<svg" in kinds["text/html"]
    assert ">label 3</text>" in kinds["text/html"]


def test_a_lift_is_green_only_where_its_interval_is_above_nothing() -> None:
    rows = [{"metric": name, "Lift": 0.1, "low": low, "high": high} for name, low, high in
            (("sure", 0.05, 0.2), ("unsure", -0.1, 0.3), ("worse", -0.3, -0.1), ("unknown", None, None))]  # fmt: skip
    html = Lifts(Frame.of(rows, ["metric", "Lift", "low", "high"]).arrow())._repr_html_()
    cells = re.findall(r"<td style=\"([^\"]*)\">0\.1</td>", html)
    assert ["#146c2e" in one for one in cells] == [True, False, False, False]
    assert ["#b3261e" in one for one in cells] == [False, False, True, False]
    assert all("text-align:right" in one for one in cells)


def test_a_bar_says_what_is_at_work_and_what_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    bar = Progress(["read", "train", "judge"], "shop")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.write", shown.append, raising=False)
    bar.begin("read")
    bar.begin("train")
    assert 'value="1" max="3"' in bar._repr_html_()
    bar.end(failed=True)
    assert [re.sub(r" · \d+ s", "", one.removeprefix("\r\033[K")) for one in shown] == [
        "shop: 0 of 3 · read",
        "shop: 1 of 3 · train",
        "shop: 1 of 3 · train has failed\n",
    ]
    bar.end()
    assert 'value="3" max="3"' in bar._repr_html_()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell()
    shell.user_ns["refuse"] = _refuse
    return shell


def _refuse() -> None:
    raise UserError(Mistake("seeed", "unknown key. Did you mean 'seed'?", "conf/config.yaml:3"), Mistake("", "more"))


def said(shell: Any, cell: str) -> str:
    with capture_output() as captured:
        shell.run_cell(cell)
    return re.sub(r"\x1b\[[\d;]*m", "", captured.stdout + captured.stderr)


def test_errors_of_users_are_a_line_a_mistake(shell: Any) -> None:
    expected = "conf/config.yaml:3: seeed: unknown key. Did you mean 'seed'?\nmore\n"
    assert said(shell, "refuse()") == expected, "without the extension"
    said(shell, "%load_ext proml_kedro")
    assert said(shell, "refuse()") == expected
    assert "Traceback" in said(shell, "1 / 0"), "a mistake in the notebook keeps its traceback"
    assert "Traceback" in said(shell, "open('nothing')")


@pytest.mark.slow
def test_the_magic_runs_commands_and_says_what_they_say(shell: Any) -> None:
    said(shell, "%load_ext proml_kedro")
    assert "made shop" in said(shell, "name = 'shop'\n%proml new {name}")
    refused = said(shell, "import os\nos.chdir('shop')\n%proml run model=xgbost")
    assert "override 'model=xgbost': no model 'xgbost'. Did you mean 'xgboost'?" in refused
    assert "`proml_kedro run model=xgbost` ended with exit code 2" in refused
    assert "Traceback" not in refused
    assert "not found" in said(shell, "%unload_ext proml_kedro\n%proml --help")
