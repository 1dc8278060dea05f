"""The notebooks run from top to bottom, one after the other in one project; what they find is computed anew here."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import duckdb
import jupytext
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NAMES = sorted(one.stem for one in (ROOT / "notebooks").glob("[0-9]*.py"))


class Ran:
    """A notebook that was run.

    Attributes:
        values: Of the expressions that were asked for at its end.
        text: All that its cells have shown, as text.
        kinds: The kinds of output that there were.
    """

    def __init__(self, folder: Path, name: str, *expressions: str) -> None:
        book = jupytext.read(ROOT / "notebooks" / f"{name}.py")
        asked = ", ".join(f"{one!r}: {one}" for one in expressions)
        book.cells.append(new_code_cell(f"import json\nprint('ASKED', json.dumps({{{asked}}}, default=str))"))
        NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
        outputs = [one for cell in book.cells if cell.cell_type == "code" for one in cell.outputs]
        said = [one.get("text") or one.get("data", {}).get("text/plain", "") for one in outputs]
        self.text = "\n".join(said)
        self.values = json.loads(self.text.rpartition("ASKED ")[2])
        self.kinds = {kind for one in outputs for kind in one.get("data", {})}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's configuration: notebooks write models beside it."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "notebooks").mkdir()
    return folder


def tables(project: Path) -> Path:
    found = (project / "data" / "store" / "tables").glob("*/impressions.parquet")
    return max(found, key=lambda one: one.stat().st_mtime).parent


def test_every_notebook_is_tested_here() -> None:
    source = Path(__file__).read_text()
    assert [one for one in NAMES if f'"{one}"' not in source] == []
    assert len(NAMES) == 7


def test_1_features_are_explored(project: Path) -> None:
    gap = "dismissals.plot.label_rate('match.seniority_gap', by='group')"
    ran = Ran(project / "notebooks", "01_explore_features", "auc", "suspicious", f"list({gap})", "str(training.path)")
    found = {row["match.seniority_gap"]: row for row in ran.values[f"list({gap})"]}
    joined = duckdb.sql(f"""
        SELECT jobs.seniority - members.seniority AS gap, count(*) AS shown, avg(dismiss::int) AS rate
        FROM '{tables(project)}/impressions.parquet' AS shown
        JOIN '{tables(project)}/jobs.parquet' AS jobs USING (job_id)
        JOIN '{tables(project)}/members.parquet' AS members USING (member_id)
        WHERE event_timestamp < '2026-07-13' GROUP BY 1
    """).fetchall()  # fmt: skip
    for name, shown, rate in joined:
        if str(name) in found:
            assert found[str(name)]["rows"] == shown
            assert found[str(name)]["share of positive rows"] == pytest.approx(rate)
    assert sum(one["rows"] for one in found.values()) == sum(shown for _, shown, _ in joined)
    rows = pd.read_parquet(ran.values["str(training.path)"])
    rows = rows[rows["split"] == "train"]
    assert len(ran.values["auc"]) > 10
    for name, value in ran.values["auc"].items():
        known = rows[rows[name].notna()]
        assert value == pytest.approx(roc_auc_score(known["label"], known[name].astype(float)), abs=1e-9), name
    assert ran.values["suspicious"] == []
    assert "like the reference" in ran.text
    assert {"application/vnd.plotly.v1+json", "text/html"} <= ran.kinds


TITLES = "str(p.training_set(features=['job.title_embedding', 'job.title']).path)"


def test_2_embeddings_are_mapped(project: Path) -> None:
    ran = Ran(
        *(project / "notebooks", "02_embeddings", "list(titles)", "titles.title", "list(similarity)", TITLES),
        *("list(bundle.score_frame(some))", "list(bundle.score_frame(some.assign(**{'job.is_remote': None})))"),
    )
    rows = pd.read_parquet(ran.values[TITLES], columns=["job.title", "job.title_embedding"])
    groups = rows.groupby("job.title")["job.title_embedding"]
    means = np.stack([np.stack(one.to_list()).astype(float).mean(axis=0) for _, one in groups])
    theirs = PCA(2).fit(means)
    assert f"{theirs.explained_variance_ratio_.sum():.0%} of how they differ" in ran.values["titles.title"]
    ours = np.array([[row["first component"], row["second component"]] for row in ran.values["list(titles)"]])
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs.transform(means)), atol=1e-6)
    assert sum(row["rows"] for row in ran.values["list(titles)"]) == len(rows)
    rates = [row["share of positive rows"] for row in ran.values["list(similarity)"]]
    assert rates[-1] > 3 * rates[0], "near is likely, as the generator has it"
    scores = ran.values["list(bundle.score_frame(some))"]
    assert all(0 < one < 1 for one in scores)
    assert scores != ran.values["list(bundle.score_frame(some.assign(**{'job.is_remote': None})))"]


def test_3_a_model_is_written(project: Path) -> None:
    ran = Ran(
        project / "notebooks",
        "03_author_a_model",
        "scores.tolist()",
        "explained.values.tolist()",
        "made.table()['NewModel']",
    )
    assert (project / "conf" / "model" / "similarities.yaml").exists()
    assert "model.components.trees.num_boost_rounds: unknown key. Did you mean 'num_boost_round'?" in ran.text
    assert "Traceback" not in ran.text
    score = np.array(ran.values["scores.tolist()"])
    margin = np.array(ran.values["explained.values.tolist()"]).sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), score, atol=1e-6)
    assert ran.values["made.table()['NewModel']"][0] == pytest.approx(auc_of(project, "similarities"), abs=1e-9)


def scored(project: Path, model: str) -> pd.DataFrame:
    """Labels and scores of the test period that the newest evaluation of a model keeps."""
    found = sorted(
        (project / "data" / "store" / "evaluation").glob("*/metrics.json"), key=lambda one: one.stat().st_mtime
    )
    folder = next(one.parent for one in reversed(found) if json.loads(one.read_text())["candidate_name"] == model)
    scores = pd.read_parquet(folder / "scores.parquet")
    return scores[scores["split"] == "test"]


def auc_of(project: Path, model: str) -> float:
    rows = scored(project, model)
    return float(roc_auc_score(rows["label"], rows["score"]))


def test_4_models_are_compared(project: Path) -> None:
    ran = Ran(project / "notebooks", "04_compare", "list(compared)", "by_list.title", "list(p.runs.table()['model'])")
    first = ran.values["list(compared)"][0]
    one, other = scored(project, "logistic"), scored(project, "xgboost")
    assert first["Baseline"] == pytest.approx(roc_auc_score(one["label"], one["score"]), abs=1e-9)
    assert first["NewModel"] == pytest.approx(roc_auc_score(other["label"], other["score"]), abs=1e-9)
    assert first["Lift"] == pytest.approx(first["NewModel"] - first["Baseline"], abs=1e-9)
    days = other["day"].to_numpy()
    without = np.array(
        [
            roc_auc_score(other["label"][days != day], other["score"][days != day])
            - roc_auc_score(one["label"][days != day], one["score"][days != day])
            for day in np.unique(days)
        ]
    )
    error = np.sqrt((len(without) - 1) * without.var())  # a jackknife without each day (Tukey 1958)
    half = (first["high"] - first["low"]) / 2
    assert 1.96 < half / error < 2.5, "Student's t with fewer degrees of freedom than days"
    assert re.match(r"xgboost is (not clearly )?better than logistic: auc \+", ran.values["by_list.title"])
    assert {"logistic", "xgboost"} <= set(ran.values["list(p.runs.table()['model'])"])


def test_5_members_have_effects_of_their_own(project: Path) -> None:
    ran = Ran(
        *(project / "notebooks", "05_mixed_effects", "members[['entity', 'value', 'rows']].values.tolist()"),
        *("list(bundle.effects(member_id=42))", "correlation", "made.table()['Lift'][0]", "[few.std(), many.std()]"),
    )
    members = pd.DataFrame(
        ran.values["members[['entity', 'value', 'rows']].values.tolist()"], columns=["id", "value", "rows"]
    )
    truth = pd.read_parquet(tables(project) / "truth" / "members.parquet")["intercept"]
    known = truth.loc[members["id"].astype(int)].to_numpy()
    assert ran.values["correlation"] == pytest.approx(np.corrcoef(members["value"], known)[0, 1])
    assert ran.values["correlation"] > 0.5
    few, many = ran.values["[few.std(), many.std()]"]
    assert few < many, "little is said of whom little is known"
    (of_42,) = (one for one in ran.values["list(bundle.effects(member_id=42))"] if one["feature"] == "intercept")
    assert of_42["value"] == pytest.approx(members[members["id"] == "42"]["value"].item())
    assert ran.values["made.table()['Lift'][0]"] > 0


def test_6_a_fault_is_found_and_told(project: Path) -> None:
    ran = Ran(project / "notebooks", "06_health", "worst", "regions.values.tolist()")
    faults = json.loads((tables(project) / "truth" / "anomalies.json").read_text())
    (lost,) = (one for one in faults if one["kind"] == "null_spike")
    begin, end = (pd.Timestamp(lost[one]) for one in ("from", "to"))
    worst = ran.values["worst"]
    assert pd.Timestamp(worst["begin"]) <= begin < end <= pd.Timestamp(worst["end"])
    shares = {name: share for name, _, share in ran.values["regions.values.tolist()"]}
    impressions = pd.read_parquet(tables(project) / "impressions.parquet").merge(
        pd.read_parquet(tables(project) / "jobs.parquet")[["job_id", "region"]].rename(columns={"region": "where"}),
        on="job_id",
    )
    there = impressions["event_timestamp"].between(pd.Timestamp(worst["begin"]), pd.Timestamp(worst["end"]))
    expected = impressions[there].groupby("where")["salary_k"].apply(lambda one: one.isna().mean())
    assert shares == pytest.approx(expected.to_dict())
    assert "the feed of salaries" in ran.text


def test_7_a_component_of_ones_own_is_one_of_ours(project: Path) -> None:
    ran = Ran(project / "notebooks", "07_own_component", "list(compared)")
    first = ran.values["list(compared)"][0]
    assert first["NewModel"] == pytest.approx(auc_of(project, "additive"), abs=1e-9)
    assert re.search(r"trial \d: auc 0\.\d+ \(model=additive\)", ran.text)
    assert re.search(r"trial \d: auc 0\.\d+ \(model=xgboost\)", ran.text)
    assert "the best is trial" in ran.text
