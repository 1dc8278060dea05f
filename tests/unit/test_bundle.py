"""A bundle is what was written, or it is refused."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from proml_kedro.bundle import Bundle, BundleContent, IntegrityError, Manifest, write_bundle
from proml_kedro.bundle.golden import compare
from proml_kedro.bundle.integrity import CHECKSUMS, verify, write_checksums
from proml_kedro.models.columns import read_columns
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec.inputs import input_types
from proml_kedro.spec.run import RunSpec
from small import CITIES, METRICS, fit, make_bundle, make_config, write_training_set


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bundle(original, tmp_path):
    return shutil.copytree(original, tmp_path / "bundle")


def test_loads_and_scores_its_golden_rows(bundle):
    loaded = Bundle.load(bundle)
    golden = pq.read_table(bundle / "golden.parquet")
    scores = loaded.score(read_columns(bundle / "golden.parquet", loaded.inputs))
    np.testing.assert_allclose(scores, golden["probability"].to_numpy(), rtol=0, atol=1e-9)
    assert golden.num_rows == 20
    assert scores.dtype == np.float64
    assert {"shop", "timestamp", "event_timestamp"} < set(golden.column_names)
    assert (loaded.name, loaded.version, loaded.metrics) == ("sales-xgboost", "v1", METRICS)


def test_equal_runs_write_bundles_of_one_digest(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 4e9)  # decades later
    again = make_bundle(tmp_path / "again")
    assert (again / "SHA256SUMS").read_text() == (bundle / "SHA256SUMS").read_text()
    assert "created" not in (again / "proml.yaml").read_text()


def test_golden_rows_are_test_rows(bundle):
    assert pq.read_table(bundle / "golden.parquet")["timestamp"].to_pylist()[0].isoformat() >= "2024-03-01"


def test_sha256sum_agrees(bundle):
    result = subprocess.run(["sha256sum", "--strict", "-c", CHECKSUMS], cwd=bundle, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": OK") == len([file for file in bundle.rglob("*") if file.is_file()]) - 1


def test_no_file_is_a_pickle(bundle):
    assert all(file.read_bytes()[:1] != b"\x80" for file in bundle.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "name",
    ["components/trees/model.ubj", "components/trees/categories.json", "proml.yaml", "golden.parquet", "run.yml"],
)
def test_one_changed_byte_is_refused(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{name} was changed"):
        Bundle.load(bundle)


def test_all_differences_are_named_at_once(bundle):
    (bundle / "card.md").unlink()
    (bundle / "components" / "trees" / "evil.py").write_text("print(1)")
    (bundle / "metrics.json").write_text("{}")
    with pytest.raises(IntegrityError) as caught:
        Bundle.load(bundle)
    text = str(caught.value)
    assert len(caught.value.mistakes) == 3
    assert "card.md is missing" in text
    assert "components/trees/evil.py is not listed" in text
    assert "metrics.json was changed" in text


def test_a_link_is_refused_though_its_content_fits(bundle, tmp_path):
    outside = tmp_path / "outside.md"
    (bundle / "card.md").rename(outside)
    (bundle / "card.md").symlink_to(outside)
    with pytest.raises(IntegrityError, match=r"card\.md is a link"):
        Bundle.load(bundle)


def test_a_linked_folder_is_refused(bundle, tmp_path):
    (bundle / "components" / "trees").rename(tmp_path / "trees")
    (bundle / "components" / "trees").symlink_to(tmp_path / "trees")
    with pytest.raises(IntegrityError, match="components/trees is a link"):
        Bundle.load(bundle)


def test_a_pipe_is_refused_rather_than_waited_for(bundle):
    os.mkfifo(bundle / "pipe")
    with pytest.raises(IntegrityError, match="pipe is a link or a device"):
        Bundle.load(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside", "./card.md", "SHA256SUMS", "a//b"])
def test_a_listed_path_stays_inside(bundle, name):
    with (bundle / CHECKSUMS).open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(IntegrityError, match="not a digest and a path below the folder"):
        Bundle.load(bundle)


def test_a_link_to_the_whole_bundle_is_fine(bundle, tmp_path):
    link = tmp_path / "newest"
    link.symlink_to(bundle)
    assert Bundle.load(link).version == "v1"


def test_no_bundle_at_all(tmp_path):
    with pytest.raises(IntegrityError, match="no such bundle"):
        Bundle.load(tmp_path / "nothing")
    with pytest.raises(IntegrityError, match="no SHA256SUMS"):
        Bundle.load(tmp_path)


def _rewrite_golden(bundle, change):
    table = pq.read_table(bundle / "golden.parquet")
    position = table.schema.get_field_index("probability")
    values = change(table["probability"].to_numpy().copy())
    pq.write_table(table.set_column(position, "probability", pa.array(values)), bundle / "golden.parquet")
    write_checksums(bundle)


def test_golden_rows_that_score_otherwise_are_refused_though_the_checksums_fit(bundle):
    def change(values):
        values[3] += 1e-5
        return values

    _rewrite_golden(bundle, change)
    with pytest.raises(IntegrityError, match=r"1 of 20 golden rows .* largest difference 1e-05, tolerated 1e-06"):
        Bundle.load(bundle)
    assert Bundle.load(bundle, check_golden_rows=False).version == "v1"


def test_a_golden_score_of_nan_equals_nothing(bundle):
    _rewrite_golden(bundle, lambda values: np.full_like(values, np.nan))
    with pytest.raises(IntegrityError, match="20 of 20 golden rows"):
        Bundle.load(bundle)


def test_compare_refuses_another_number_of_scores(tmp_path):
    with pytest.raises(IntegrityError, match="1 scores for 2"):
        compare(tmp_path, [0.5], np.array([0.5, 0.5]), 1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot read proml.yaml"),
        ("[]", "does not have the format"),
        ("format: proml-bundle/2", "does not have the format"),
        ("format: proml-bundle/1\nname: a b", "name: String should match"),
        ("!!python/object/apply:os.system ['true']", "cannot read proml.yaml: ConstructorError"),
    ],
)
def test_an_unreadable_manifest_is_explained(bundle, text, message):
    (bundle / "proml.yaml").write_text(text)
    write_checksums(bundle)
    with pytest.raises(IntegrityError, match=message):
        Bundle.load(bundle)


def as_text(text: bytes):
    return lambda file: file.write_bytes(text)


@pytest.mark.parametrize(
    "break_it",
    [Path.unlink, as_text(b"otherwise"), as_text(b"{}"), as_text(b"[]"), as_text(b"")],
    ids=["less", "other", "object", "list", "empty"],
)
def test_components_of_another_version_are_explained(bundle, break_it):
    for file in (bundle / "components").rglob("*"):
        if file.is_file():
            break_it(file)
    write_checksums(bundle)
    with pytest.raises(IntegrityError, match=r"^\S+: another version of proml_kedro wrote it.*train and package anew$"):
        Bundle.load(bundle)


def test_a_missing_extension_is_named(bundle):
    file = bundle / "proml.yaml"
    manifest = yaml.safe_load(file.read_text())
    manifest["config"]["extensions"] = ["no_such_module"]
    file.write_text(yaml.safe_dump(manifest))
    write_checksums(bundle)
    with pytest.raises(IntegrityError, match=r"its extension needs the module 'no_such_module'.*PYTHONPATH"):
        Bundle.load(str(bundle))


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["model"].update(gone=1),
        lambda config: config["problem"].pop("label"),
        lambda config: config["model"]["components"]["trees"].update(kind="no_such_kind"),
        lambda config: config.pop("features"),
    ],
    ids=["a new key", "a missing key", "a missing kind", "a missing part"],
)
def test_a_configuration_of_another_version_is_explained(bundle, change):
    file = bundle / "proml.yaml"
    manifest = yaml.safe_load(file.read_text())
    change(manifest["config"])
    file.write_text(yaml.safe_dump(manifest))
    write_checksums(bundle)
    with pytest.raises(IntegrityError, match=r"^\S+: another version of proml_kedro wrote it.*train and package anew$"):
        Bundle.load(bundle)


def test_the_manifest_describes_every_input(bundle):
    rows = Manifest.read(bundle).rows
    assert rows.entities == {"shop": "int"}
    described = {one.name: (one.dtype, one.request, one.entity, one.description) for one in rows.inputs}
    assert described == {
        "visit.shop": ("int", True, "shop", ""),
        "visit.city": ("str", True, None, "where the visitor is"),
        "visit.price": ("float", True, None, "in euros"),
        "visit.items": ("int", True, None, ""),
        "visit.member": ("bool", True, None, ""),
        "traffic.visits_3h": ("int", False, None, "visits, last 3h"),
        "traffic.visits_all": ("int", False, None, "visits, all time"),
    }


def test_the_configuration_comes_back_as_it_was_given(bundle):
    assert yaml.safe_load((bundle / "proml.yaml").read_text())["config"] == make_config()
    assert yaml.safe_load((bundle / "run.yml").read_text()) == {
        "run": {"params": {"resolved": "data/sales/xgboost/bundle/proml.yaml"}}
    }


def test_the_card_says_what_it_is(bundle):
    card = (bundle / "card.md").read_text()
    for part in (
        "A visit ends in a sale (`amount > 0`)",
        "1h before `visited_at`",
        "| auc | 0.8000 | 0.7000 | 0.1000 | 0.0500 … 0.1500 |",
        "| `visit.price` | float | request | in euros |",
        "| test | 2024-03-01",
        "kedro run --config data/sales/xgboost/bundle/run.yml",
    ):
        assert part in card, part


def test_the_card_holds_no_row(bundle):
    card = (bundle / "card.md").read_text()
    assert not any(city in card for city in CITIES)


def test_a_model_of_several_components_comes_back(tmp_path):
    components = {
        "linear": {"kind": "logistic", "inputs": ["traffic.visits_3h", "visit.price"]},
        "trees": {"kind": "xgboost", "inputs": ["linear.margin", "*"], "num_boost_round": 5},
    }
    config = make_config(components)
    training_set = write_training_set(tmp_path / "training_set.parquet")
    folder = tmp_path / "bundle"
    folder.mkdir()
    graph = fit(config, training_set)
    write_bundle(
        folder,
        BundleContent(
            graph=graph,
            config=config,
            training_set=training_set,
            metrics={"candidate": {"auc": float("nan"), "brier": 0.25}, "baseline": None, "differences": {}},
        ),
        name="sales",
        version="1",
        shown_at=folder,
    )
    columns = read_columns(training_set, graph.inputs)
    np.testing.assert_allclose(Bundle.load(folder).score(columns), graph.score(columns), rtol=0, atol=1e-9)
    assert Bundle.load(folder).metrics["candidate"] == {"auc": None, "brier": 0.25}
    assert "| brier | 0.2500 |  |  |  |" in (folder / "card.md").read_text()


@pytest.mark.parametrize("version", ["", "a b", "-v", "x" * 64, "v:1"])
def test_a_version_that_makes_no_tag_is_refused(tmp_path, original, version):
    content = yaml.safe_load((original / "proml.yaml").read_text())
    (tmp_path / "proml.yaml").write_text(json.dumps({**content, "version": version}))
    with pytest.raises(IntegrityError, match="version"):
        Manifest.read(tmp_path)


def test_names_that_a_line_cannot_hold_are_not_written(tmp_path):
    (tmp_path / "two\nlines").write_text("")
    with pytest.raises(ValueError, match="a line cannot hold"):
        write_checksums(tmp_path)


def test_verify_gives_the_digests(bundle):
    assert verify(bundle).keys() >= {"proml.yaml", "components/trees/model.ubj"}


def test_a_model_may_read_a_key(tmp_path):
    from proml_kedro.serving.scorer import BundleScorer

    components = {"trees": {"kind": "xgboost", "inputs": ["visit.price", "shop"], "num_boost_round": 5}}
    config = make_config(components)
    training_set = write_training_set(tmp_path / "training_set.parquet")
    (tmp_path / "bundle").mkdir()
    graph = fit(config, training_set)
    assert [(one.name, one.dtype) for one in graph.inputs] == [("visit.price", "float"), ("shop", "str")]
    write_bundle(
        tmp_path / "bundle",
        BundleContent(graph=graph, config=config, training_set=training_set, metrics=METRICS),
        name="sales",
        version="v1",
        shown_at=tmp_path,
    )
    scorer = BundleScorer(tmp_path / "bundle")
    expected = graph.score(
        {"visit.price": np.array([20.0, 20.0, 30.0]), "shop": np.array(["7", None, "nobody"], object)}
    )
    rows = [{"visit.price": 20.0, "shop": 7}, {"visit.price": 20.0, "shop": None}, {"visit.price": 30.0, "shop": -1}]
    assert scorer.score(rows) == pytest.approx(expected)
    assert scorer.score_online(rows) == pytest.approx(expected)


def test_a_pattern_reads_no_key():
    run = RunSpec.model_validate(make_config())
    assert "shop" not in [one.name for one in ModelGraph(run.model, input_types(run.problem, run.features)).inputs]
