"""Scores out: those of the run's own rows, and of whole tables by keys as of their moments, equal to each other."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from sklearn.metrics import roc_auc_score

from proml_kedro import open_project
from proml_kedro.cli import cli
from proml_kedro.results import Metrics, Scores
from proml_kedro.results.run_record import read_records
from proml_kedro.spec.scoring import ScoringSpec

if TYPE_CHECKING:
    from e2e.conftest import Shop

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HOW_TO = Path(__file__).parents[2] / "docs/how-to/score-a-table.md"


@pytest.fixture(scope="module")
def shop(new_shop: Callable[[Path], Shop], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop with a bundle that reads the request, and windows over orders."""
    shop = new_shop(tmp_path_factory.mktemp("scores") / "shop")
    shop.environment["BUNDLE"] = str(made(shop, "bundle"))
    shop.environment["EVALUATION"] = str(made(shop, "evaluation"))
    return shop


def made(shop: Shop, result: str, *overrides: str) -> Path:
    return open_project(shop.folder, f"data_dir={shop.data}", *overrides).run(results=(result,))[result].path


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["predict", *map(str, arguments)])


def test_the_run_keeps_the_scores_of_validation_and_test(shop: Shop) -> None:
    place = Path(shop.environment["EVALUATION"])
    scores, metrics = Scores.read(place), Metrics.read(place)
    names = ["example_id", "customer", "timestamp", "day", "split", "label", "score", "baseline"]
    assert scores.table.column_names == names
    assert scores.has_baseline
    examples = pq.read_table(shop.data / "store" / training_set(shop) / "training_set.parquet")
    kept = examples.filter(pa.compute.is_in(examples["split"], pa.array(["validation", "test"])))
    for name in names[:6]:
        assert scores.table[name].to_pylist() == kept[name].to_pylist(), name
    test = Scores.read(place, "test").table
    for name, figures in (("score", metrics.candidate), ("baseline", metrics.baseline or {})):
        auc = roc_auc_score(test["label"].to_numpy(), test[name].to_numpy())
        assert figures["auc"] == pytest.approx(auc, abs=1e-9)


def training_set(shop: Shop) -> str:
    place = made(shop, "training_set")
    return str(place.relative_to(shop.data / "store"))


@pytest.mark.parametrize("table", ["visits.csv", "visits"])
def test_keys_as_of_each_moment_score_as_in_the_run(shop: Shop, tmp_path: Path, table: str) -> None:
    source = shop.folder / table if "." in table else table
    done = predict(shop.environment["BUNDLE"], source, "-o", tmp_path / "out.parquet")
    assert done.exit_code == 0, done.output
    assert "2 computed from columns, 3 looked up by key" in done.output
    assert "orders: looked up as of moments up to 2024-04-30" in done.output
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["row", "customer", "timestamp", "score"]
    assert found.num_rows == 6000
    expected = Scores.read(Path(shop.environment["EVALUATION"])).table
    there = found.take(expected["example_id"])
    assert there["customer"].to_pylist() == expected["customer"].to_pylist()
    assert there["timestamp"].to_pylist() == expected["timestamp"].to_pylist()
    assert np.abs(there["score"].to_numpy() - expected["score"].to_numpy()).max() < 1e-6


def test_one_moment_for_all_rows_and_keys_of_nobody(shop: Shop, tmp_path: Path) -> None:
    visits = pc.read_csv(shop.folder / "visits.csv").slice(0, 50).drop_columns(["at", "ordered", "visit"])
    nobody = ["nobody" if one == "c7" else one for one in visits["customer"].to_pylist()]
    at = "2024-02-10T12:00:00+00:00"
    pc.write_csv(visits.set_column(0, "customer", pa.array(nobody)), tmp_path / "now.csv")
    pc.write_csv(
        visits.set_column(0, "customer", pa.array(nobody)).append_column("at", pa.array([at] * 50)),
        tmp_path / "each.csv",
    )
    bundle = shop.environment["BUNDLE"]
    done = predict(bundle, tmp_path / "now.csv", "-o", tmp_path / "now.parquet", "--as-of", "2024-02-10T12:00Z")
    assert done.exit_code == 0, done.output
    each = predict(bundle, tmp_path / "each.csv", "-o", tmp_path / "each.parquet")
    assert each.exit_code == 0, each.output
    found = pq.read_table(tmp_path / "now.parquet")
    assert found["score"].to_pylist() == pq.read_table(tmp_path / "each.parquet")["score"].to_pylist()
    with (shop.folder / "orders.csv").open() as stream:
        buyers = {row["customer"] for row in csv.DictReader(stream) if row["at"] < at}
    unknown = sum(one not in buyers for one in nobody)
    assert 0 < unknown < 50
    assert f"nothing is known of {unknown} ({unknown / 50:.2%}) of rows at their moment" in done.output
    refused = predict(bundle, tmp_path / "now.csv", "-o", tmp_path / "none.parquet")
    assert refused.exit_code == 2
    assert "at: no column 'at'" in refused.output
    assert "--as-of 2024-05-31T12:00Z" in refused.output
    later = predict(bundle, tmp_path / "now.csv", "-o", tmp_path / "none.parquet", "--as-of", "tomorrow")
    assert "option --as-of: cannot read 'tomorrow'" in later.output


def test_a_bundle_elsewhere_needs_the_data_folder(shop: Shop, tmp_path: Path) -> None:
    import shutil

    bundle = shutil.copytree(shop.environment["BUNDLE"], tmp_path / "bundle")
    visits = shop.folder / "visits.csv"
    alone = predict(bundle, visits, "-o", tmp_path / "out.csv")
    assert alone.exit_code == 2
    assert "there is no data folder around" in alone.output
    with_data = predict(bundle, visits, "-o", tmp_path / "out.csv", "--data-dir", shop.data)
    assert with_data.exit_code == 0, with_data.output
    empty = predict(bundle, visits, "-o", tmp_path / "out.csv", "--data-dir", tmp_path)
    assert empty.exit_code == 2
    assert "kedro run --pipelines=features --config" in empty.output


def test_the_pipeline_writes_the_same_file(shop: Shop, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    scoring = f"input: visits.csv, output: {output}, bundle: {shop.environment['BUNDLE']}"
    done = shop.run("--pipelines=score", f"+scoring={{{scoring}}}".replace(" ", ""))
    assert done.returncode == 0, done.stderr
    assert "6,000 rows scored by shop-xgboost:" in done.stdout + done.stderr
    predict(shop.environment["BUNDLE"], shop.folder / "visits.csv", "-o", tmp_path / "command.parquet")
    assert pq.read_table(output).equals(pq.read_table(tmp_path / "command.parquet"))
    missing = shop.run("--pipelines=score")
    assert missing.returncode == 2
    assert "scoring: is missing; write scoring: {input: FILE, output: FILE.parquet}" in missing.stderr
    wrong = shop.run("--pipelines=score", "+scoring={input:visits.csv,output:out.txt}")
    assert wrong.returncode == 2
    assert "scoring.output: cannot write 'out.txt'; its name must end in .parquet or .csv" in wrong.stderr


def test_the_how_to_works(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = HOW_TO.read_text()
    monkeypatch.chdir(shop.folder)
    visits = pc.read_csv(shop.folder / "visits.csv")
    pc.write_csv(visits.select(["customer", "pages", "device"]).slice(0, 80), shop.folder / "customers.csv")
    shop.result("evaluation").parent.mkdir(parents=True, exist_ok=True)
    for name in ("bundle", "evaluation"):
        shop.result(name).unlink(missing_ok=True)
        shop.result(name).symlink_to(shop.environment[name.upper()])
    commands = re.findall(r"^\$ kedro predict (.+)$", text, re.MULTILINE)
    assert len(commands) == 2
    first, second = (predict(*one.split()) for one in commands)
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    shown = text.partition(commands[0])[2].partition("```")[0].strip().splitlines()
    words = [re.sub(r"[-\d.,]+|:\w+|T:.*?;", "", line) for line in shown]
    found = [re.sub(r"[-\d.,]+|:\w+|T:.*?;", "", line) for line in first.stdout.strip().splitlines()]
    assert [one[:30] for one in found] == [one[:30] for one in words]
    (script,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(script, HOW_TO.name, "exec"), {})
    assert "'score', 'baseline'] " in capsys.readouterr().out
    (written,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    spec = ScoringSpec.model_validate(yaml.safe_load(written)["scoring"])
    assert spec.output == "scores.parquet"


MODELS = {
    "logistic": "components: {linear: {kind: logistic, inputs: ['*']}}\nscore: linear",
    "mixed": (
        "components: {people: {kind: mixed, inputs: ['*', customer], random_effects: [{entity: customer}]}}\n"
        "score: people"
    ),
    "chain": (
        "components:\n"
        "  trees: {kind: xgboost, inputs: ['*'], num_boost_round: 20}\n"
        "  people: {kind: mixed, inputs: [trees.margin, customer], offset: trees.margin, "
        "random_effects: [{entity: customer}]}\n"
        "score: people"
    ),
    "deep": (
        "components:\n"
        "  tower:\n"
        "    kind: deep\n"
        "    inputs: ['*']\n"
        "    features: {embed: 4, min_count: 5}\n"
        "    graph: {deep: {block: mlp, of: [numbers, embeddings], units: [8]}}\n"
        "    head: {of: deep}\n"
        "    training: {epochs: 2, batch_size: 512}\n"
        "score: tower"
    ),
}


@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_model_scores_a_table_as_its_run_did(shop: Shop, tmp_path: Path, model: str) -> None:
    (shop.conf / "model").mkdir(exist_ok=True)
    (shop.conf / "model" / f"{model}_own.yaml").write_text(MODELS[model])
    place = made(shop, "bundle", f"model={model}_own")
    expected = Scores.read(made(shop, "evaluation", f"model={model}_own")).table
    visits = pc.read_csv(shop.folder / "visits.csv")
    order = np.random.default_rng(0).permutation(len(visits))
    pq.write_table(visits.take(order).append_column("as_of", visits["at"].take(order)), tmp_path / "mixed.parquet")
    done = predict(place, tmp_path / "mixed.parquet", "-o", tmp_path / "out.parquet")
    assert done.exit_code == 0, done.output
    found = pq.read_table(tmp_path / "out.parquet")["score"].to_numpy()[np.argsort(order)]
    scores = expected["score"].to_numpy()
    assert scores.std() > 0.02
    assert np.abs(found[expected["example_id"].to_numpy()] - scores).max() < 1e-6


def test_runs_bundles_and_models_are_compared_by_what_they_are_called(shop: Shop) -> None:
    """Two fits of one model on the same examples: by the run's id, by the bundle, and by the model's name."""
    made(shop, "evaluation", "seed=3", "model.components.trees.params.max_depth=2")
    record = next(one for _, one in read_records(shop.data, pytest.fail))
    options = ["--set", f"data_dir={shop.data}", "--conf-source", shop.folder / "conf"]
    bundle = shop.environment["BUNDLE"]
    done = CliRunner().invoke(cli, list(map(str, ["compare", bundle, record.id, *options])))
    assert done.exit_code == 0, done.output
    metrics = Metrics.read(shop.data / "store" / record.results["evaluation"])
    assert done.stdout.startswith(record.id)
    assert f"{metrics.candidate['auc']:.4f}" in done.stdout
    assert f"{Metrics.read(Path(shop.environment['EVALUATION'])).candidate['auc']:.4f}" in done.stdout
    newest = CliRunner().invoke(cli, list(map(str, ["compare", bundle, record.model, *options])))
    assert newest.exit_code == 0, newest.output
    assert newest.stdout.replace(record.model, "").split() == done.stdout.replace(record.id, "").split()
