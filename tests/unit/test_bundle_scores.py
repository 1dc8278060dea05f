"""What a bundle scores: orders without positions, data frames; and what it says of files of another version."""

import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from proml_kedro.bundle import Bundle, BundleContent, IntegrityError, write_bundle
from proml_kedro.bundle.integrity import write_checksums
from proml_kedro.errors import UserError
from proml_kedro.models.kinds import component_of
from proml_kedro.spec.run import RunSpec
from small import METRICS, fit, make_bundle, make_config, write_training_set


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bundle(original, tmp_path):
    return shutil.copytree(original, tmp_path / "bundle")


POSITION = {"source": "request", "features": {"position": {"dtype": "int", "neutral": 1}, "price": {"dtype": "float"}}}
LEAN = {"source": "on_demand", "features": {"lean": {"dtype": "float", "expression": "visit.position * 2"}}}


@pytest.fixture
def ranked(tmp_path):
    """A bundle whose trees read a position, and what is made of it on demand."""
    generator = np.random.default_rng(0)
    components = {"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 20}}
    config = make_config(components)
    config["features"] = {"visit": POSITION, "made": LEAN}
    config = RunSpec.model_validate(config).model_dump(mode="json")
    training_set = write_training_set(tmp_path / "training_set.parquet")
    table = pq.read_table(training_set)
    position = generator.integers(1, 9, len(table))
    table = table.append_column("visit.position", pa.array(position))
    table = table.append_column("made.lean", pa.array(position * 2.0))
    label = (generator.random(len(table)) < 0.8 / position).astype(np.float32)
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", pa.array(label)), training_set)
    folder = tmp_path / "bundle"
    folder.mkdir()
    content = BundleContent(fit(config, training_set), config, training_set, METRICS)
    write_bundle(folder, content, name="sales", version="1", shown_at=folder)
    return folder


ROWS = {"visit.position": np.array([1.0, 3.0, 8.0]), "visit.price": np.array([20.0, 20.0, 20.0])}


def test_an_order_is_not_biased_by_the_position_at_which_rows_were_shown(ranked):
    bundle = Bundle.load(ranked)
    assert bundle.manifest.rows.neutral == {"visit.position": 1}
    assert len(set(bundle.score(ROWS).tolist())) == 3
    first = bundle.score(ROWS)[0]
    assert bundle.order_scores(ROWS).tolist() == [first] * 3
    assert bundle.order_scores({"visit.price": ROWS["visit.price"]}).tolist() == [first] * 3


def test_a_bundle_from_before_neutral_values_orders_by_its_scores(ranked):
    content = yaml.safe_load((ranked / "proml.yaml").read_text())
    del content["schema"]["neutral"]
    (ranked / "proml.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    write_checksums(ranked)
    bundle = Bundle.load(ranked)
    assert bundle.order_scores(ROWS).tolist() == bundle.score(ROWS).tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["problem"].update(colour="red"),
        lambda config: config["features"]["visit"].pop("features"),
        lambda config: config["model"]["components"]["trees"].update(kind="forest"),
        lambda config: config.pop("problem"),
    ],
)
def test_a_configuration_of_another_version_is_explained(bundle, change):
    content = yaml.safe_load((bundle / "proml.yaml").read_text())
    change(content["config"])
    (bundle / "proml.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    write_checksums(bundle)
    with pytest.raises(IntegrityError, match=r"^\S+: another version of proml_kedro wrote it.*train and package anew$"):
        Bundle.load(bundle)


@pytest.mark.parametrize("error", [AttributeError, AssertionError, RuntimeError, ZeroDivisionError])
def test_whatever_a_component_raises_over_an_older_file_is_one_line(bundle, error, monkeypatch):
    def load(*arguments):
        raise error("no such\nthing")

    monkeypatch.setattr(component_of("xgboost"), "load", load)
    with pytest.raises(IntegrityError, match=rf"another version .*\({error.__name__}: no such\)") as caught:
        Bundle.load(bundle)
    assert "\n" not in str(caught.value)


def frames_of(bundle):
    """The golden rows as Arrow, pandas and Polars have them, and with pandas' categories and nullable types."""
    table = pq.read_table(bundle / "golden.parquet")
    yield table
    yield table.to_pandas()
    city = table.column_names.index("visit.city")
    views = table.set_column(city, "visit.city", table["visit.city"].cast(pa.string_view()))  # as Polars has text
    yield SimpleNamespace(__arrow_c_stream__=views.__arrow_c_stream__)
    frame = table.to_pandas()
    yield frame.astype({"visit.city": "category", "visit.items": "Int64", "visit.member": "boolean"})


def test_data_frames_are_scored_as_golden_rows_are(bundle):
    loaded = Bundle.load(bundle)
    for frame in frames_of(bundle):
        scores = loaded.score_frame(frame)
        assert scores.dtype == np.float64
        np.testing.assert_allclose(scores, pq.read_table(bundle / "golden.parquet")["probability"], atol=1e-9)


def test_what_a_data_frame_lacks_is_said_in_one_line_each(bundle):
    table = pq.read_table(bundle / "golden.parquet")
    names = ["visit.cities" if name == "visit.city" else name for name in table.column_names]
    table = table.rename_columns(names).drop_columns(["visit.items"])
    table = table.set_column(table.column_names.index("visit.price"), "visit.price", pa.array(["dear"] * len(table)))
    with pytest.raises(UserError) as caught:
        Bundle.load(bundle).score_frame(table)
    lines = str(caught.value).splitlines()
    assert "visit.city: the data frame has no such column. Did you mean 'visit.cities'?" in lines
    assert any(line.startswith("visit.items: the data frame has no such column.") for line in lines)
    assert any(line.startswith("visit.price: the column, of type string, is no float: ") for line in lines)
    assert len(lines) == 3
    with pytest.raises(UserError, match="'dict' is no data frame"):
        Bundle.load(bundle).score_frame({})
