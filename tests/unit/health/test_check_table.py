"""`kedro drift check`: a table or a log against what a bundle remembers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from proml_kedro.commands.drift_check import drift_check_command
from proml_kedro.errors import UserError
from proml_kedro.health import check_table as module
from proml_kedro.health.check_table import check_table
from proml_kedro.health.reference import Reference
from proml_kedro.serving.request_log import RequestLog
from small import make_bundle, write_training_set

FEATURES = ["visit.city", "visit.price", "visit.items", "visit.member", "traffic.visits_3h", "traffic.visits_all"]
TAG = "sales-xgboost:v1"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of the same sort as those that the model was made from, and more than a verdict takes."""
    return pq.read_table(write_training_set(tmp_path_factory.mktemp("rows") / "rows.parquet", 1600))


@pytest.fixture
def run(bundle, tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def run(table, *arguments):
        file = tmp_path / "now.parquet"
        pq.write_table(table, file)
        command = ["--reference", str(bundle), "--current", str(file), *arguments]
        return CliRunner().invoke(drift_check_command(), command, standalone_mode=False)

    return run


def code(result):
    return result.exception.code if isinstance(result.exception, SystemExit) else result.exit_code


def test_a_bundle_remembers_numbers_and_no_rows(bundle):
    reference = Reference.read(bundle)
    assert set(reference.inputs) == {*FEATURES, "visit.shop", "score"}
    assert 990 < reference.profile.rows < 1010, "60 of the 90 days of 1,500 rows"
    text = (bundle / "reference.json").read_text()
    assert len(text) < 40_000
    assert "reference.json" in (bundle / "SHA256SUMS").read_text()


def test_like_the_reference(run, rows):
    done = run(rows, "--json")
    found = json.loads(done.output)
    assert (code(done), found["verdict"], found["model"]) == (0, "ok", TAG)
    assert found["words"].startswith("like the reference, in all of 7 columns")
    assert any(notice.startswith("score: not checked") for notice in found["notices"])


def test_drift_is_exit_code_1_and_files_say_the_same(run, rows, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    position = rows.column_names.index("visit.price")
    wrong = rows.set_column(position, "visit.price", pc.multiply(rows["visit.price"], 1000.0))
    done = run(wrong, "-o", str(tmp_path / "out"))
    assert code(done) == 1
    words = done.output.splitlines()[0].removeprefix(f"{TAG}: ")
    assert words == "drifted: 1 of 7 columns; look at visit.price (distribution)"
    assert json.loads((tmp_path / "out" / "drift.json").read_text())["words"] == words
    case = ET.parse(tmp_path / "out" / "drift.xml").getroot().find("testcase[@name='verdict']/failure")
    assert case.get("message") == words
    assert f"**{words}**" in page.read_text()
    assert (tmp_path / "out" / "drift.md").read_text() == page.read_text()


def test_too_few_rows(run, rows):
    done = run(rows.slice(0, 120))
    assert code(done) == 0
    assert "too few rows to tell: 120 current rows, and it takes 500" in done.output
    assert code(run(rows.slice(0, 120), "--strict")) == 3
    assert code(run(rows.slice(0, 0), "--strict")) == 3


def test_a_score_that_is_mixed_up_is_found_without_the_model(bundle, run, rows):
    from proml_kedro.bundle import Bundle
    from proml_kedro.models.columns import read_columns

    pq.write_table(rows, bundle.parent / "scored.parquet")
    loaded = Bundle.load(bundle)
    score = loaded.score(read_columns(bundle.parent / "scored.parquet", loaded.inputs, precision="float64"))
    assert code(run(rows.append_column("score", pa.array(score)))) == 0
    mixed = np.random.default_rng(0).permutation(score)
    for wrong in (mixed, 1 - score, np.full(len(score), 0.5)):
        done = run(rows.append_column("score", pa.array(wrong)))
        assert code(done) == 1
        assert "look at score" in done.output


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nothing.parquet", "nothing.parquet"),
        (lambda folder: _written(folder / "text.parquet", b"hello"), "text.parquet"),
        (lambda folder: _written(folder / "other.csv", b"a,b\n1,2\n"), "none of the model's features"),
        (lambda folder: _written(folder / "cut.jsonl", b'{"model": "x", "features": {"a"'), "cut.jsonl"),
    ],
)
def test_what_cannot_be_read_is_one_line(bundle, tmp_path, make, words):
    with pytest.raises(UserError) as error:
        check_table(bundle, make(tmp_path))
    assert words in str(error.value)
    assert len(error.value.mistakes) == 1


def _written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def test_a_bundle_that_was_changed_or_has_no_reference_is_refused(bundle, rows, tmp_path):
    import shutil

    from proml_kedro.bundle.integrity import write_checksums

    pq.write_table(rows, tmp_path / "rows.parquet")
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    text = (copy / "reference.json").read_text()
    (copy / "reference.json").write_text(text.replace('"rows":', '"rows": 1', 1))
    with pytest.raises(UserError, match="was changed"):
        check_table(copy, tmp_path / "rows.parquet")
    (copy / "reference.json").write_text(text.replace("proml-reference/1", "proml-reference/9"))
    write_checksums(copy)
    with pytest.raises(UserError, match="make the bundle anew"):
        check_table(copy, tmp_path / "rows.parquet")
    (copy / "reference.json").unlink()
    write_checksums(copy)
    with pytest.raises(UserError, match=r"has no reference\.json"):
        check_table(copy, tmp_path / "rows.parquet")


def logged(file, rows, model=TAG, **changed):
    names = ["traffic.visits_3h", "traffic.visits_all"]
    columns = {name: rows[name].to_numpy(zero_copy_only=False).astype(float) for name in names}
    moments = [datetime(2024, 4, 1, tzinfo=UTC)] * rows.num_rows
    keys = [{"shop": int(one)} for one in rows["shop"].to_numpy()]
    RequestLog(file, model).write(keys, moments, {**columns, **changed})
    return file


def test_the_log_of_a_server(bundle, rows, tmp_path):
    """What requests contain is not in a log; what was looked up is, of the rows of this model."""
    log = logged(tmp_path / "log.jsonl", rows)
    _, result = check_table(bundle, log)
    assert (result.verdict, result.current_rows) == ("ok", rows.num_rows)
    assert {one.name for one in result.columns} == {"traffic.visits_3h", "traffic.visits_all"}
    assert result.notices[0].startswith("visit.city")
    logged(log, rows, "sales-xgboost:v0", **{"traffic.visits_3h": np.full(rows.num_rows, np.nan)})
    assert check_table(bundle, log)[1].current_rows == rows.num_rows, "another model's rows are not ours"
    lost = logged(tmp_path / "lost.jsonl", rows, **{name: np.full(rows.num_rows, np.nan) for name in FEATURES[4:]})
    _, result = check_table(bundle, lost)
    assert (result.verdict, result.lost) == ("drift", ("traffic",))
    other = logged(tmp_path / "other.jsonl", rows, "sales-xgboost:v0")
    with pytest.raises(UserError, match="no rows of sales-xgboost:v1, but of sales-xgboost:v0"):
        check_table(bundle, other)


@pytest.fixture(scope="module")
def answered(bundle, rows, tmp_path_factory):
    """What a server has logged of rows like those of training."""
    from starlette.testclient import TestClient

    from proml_kedro.serving.http.application import Options, make_application
    from proml_kedro.serving.prediction_log import open_log
    from proml_kedro.serving.scorer import BundleScorer
    from proml_kedro.spec import PredictionLogSpec

    folder = tmp_path_factory.mktemp("log")
    scorer = BundleScorer(bundle)
    names = [one.name for one in scorer.bundle.inputs]
    instances = [{name: row[name] for name in names} for row in rows.to_pylist()]
    log = open_log(PredictionLogSpec(folder=str(folder)), scorer.bundle)
    with TestClient(make_application(scorer, scorer.bundle.manifest.serving, Options(log=log))) as client:
        for start in range(0, len(instances), 50):
            assert client.post("/predict", json={"instances": instances[start : start + 50]}).status_code == 200
    log.close()
    return folder


def test_the_log_of_predictions(bundle, rows, answered, tmp_path):
    """All that rows were scored by is in it, and the score: so one that is mixed up is found."""
    _, result = check_table(bundle, answered)
    assert (result.verdict, result.current_rows) == ("ok", rows.num_rows)
    assert {one.name for one in result.columns} == {*FEATURES, "visit.shop", "score"}
    assert result.notices == check_table(bundle, next(answered.glob("*.parquet")))[1].notices
    whole = pa.concat_tables([pq.read_table(file) for file in sorted(answered.glob("*.parquet"))])

    def changed(name, values):
        pq.write_table(
            whole.set_column(whole.column_names.index(name), name, pa.array(values)), tmp_path / "log.parquet"
        )
        return check_table(bundle, tmp_path / "log.parquet")[1]

    assert changed("score", np.random.default_rng(0).permutation(whole["score"])).verdict == "drift"
    prices = 1000 * whole["features.visit.price"].to_numpy(zero_copy_only=False)
    assert "visit.price" in changed("features.visit.price", prices).words
    refused = changed("status", np.where(np.arange(whole.num_rows) < 900, 200, 503).astype(np.int16))
    assert refused.current_rows == 900, "what was not answered was not scored"
    with pytest.raises(UserError, match="no rows of sales-xgboost:v1, but of other:1"):
        changed("bundle", ["other:1"] * whole.num_rows)


def test_of_many_rows_a_sample_is_judged(bundle, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 1000)
    pq.write_table(rows, tmp_path / "rows.parquet")
    _, result = check_table(bundle, tmp_path / "rows.parquet")
    assert result.current_rows == 1000
    assert "judged by a sample of 1,000 of 1,600 rows" in result.notices
    assert check_table(bundle, tmp_path / "rows.parquet")[1] == result, "the same one each time"


PROBE = """
import re, sys
{work}
hwm = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(hwm, *(one for one in sys.modules if "." not in one))
"""
RUN = """
from proml_kedro.__main__ import main
sys.argv = ["proml_kedro", "drift", "check", "--reference", {bundle!r}, "--current", {file!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def test_it_imports_neither_the_model_nor_evidently(bundle, rows, tmp_path):
    pq.write_table(pa.concat_tables([rows] * 4).slice(0, 6000), tmp_path / "rows.parquet")
    work = RUN.format(bundle=str(bundle), file=str(tmp_path / "rows.parquet"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    text = subprocess.run(
        [sys.executable, "-c", PROBE.format(work=work)], env=environment, text=True, capture_output=True, check=True
    )
    memory, *modules = text.stdout.splitlines()[-1].split()
    heavy = {"tensorflow", "keras", "evidently", "xgboost", "bentoml", "feast", "matplotlib", "sklearn", "pandas"}
    assert heavy.isdisjoint(modules)
    assert "duckdb" in modules
    assert float(memory) <= 250
