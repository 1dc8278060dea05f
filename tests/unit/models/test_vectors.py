"""Vectors on their way from files and requests to components."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from proml_kedro.bundle.manifest import InputField
from proml_kedro.models.columns import read_columns
from proml_kedro.models.component import Input
from proml_kedro.serving.schema import RowReader, describe_problems, row_type
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.inputs import read_by
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.run import check
from small import make_config

VALUES = [[1.0, 2.0, 3.0], None, [4.0, 5.0, 6.0], [7.0, None, 9.0]]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.list_(pa.float32(), 3)], ids=str)
def test_lists_of_a_file_are_read_as_rows(tmp_path: Path, kind: pa.DataType) -> None:
    # Two row groups, so that the column arrives in pieces.
    pq.write_table(pa.table({"v.e": pa.array(VALUES, kind)}), tmp_path / "file.parquet", row_group_size=2)
    vectors = read_columns(tmp_path / "file.parquet", [Input("v.e", "vector[3]")])["v.e"]
    nothing = [np.nan] * 3
    np.testing.assert_array_equal(vectors, np.array([VALUES[0], nothing, VALUES[2], nothing], np.float32))
    assert vectors.dtype == np.float32


def test_a_wrong_size_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v.e": pa.array([[1.0], [1.0, 2.0]])}), tmp_path / "file.parquet")
    with pytest.raises(ValueError, match="a vector has 2 numbers"):
        read_columns(tmp_path / "file.parquet", [Input("v.e", "vector[1]")])


def test_sizes() -> None:
    assert vector_size("vector[12]") == 12
    assert vector_size("int") is None
    for wrong in ("vector[0]", "vector", "vector[-1]", "vector[70000]", "text"):
        with pytest.raises(ValidationError, match=r"dtype|at most"):
            TypeAdapter(Dtype).validate_python(wrong)


def field() -> InputField:
    return InputField(name="v.e", dtype="vector[2]", view="v", request=True)


def row_adapter() -> TypeAdapter:
    from types import SimpleNamespace

    return TypeAdapter(list[row_type("Row", SimpleNamespace(inputs=[field()]))])


def test_a_request_brings_a_vector() -> None:
    rows = row_adapter().validate_json('[{"v.e": [1, 2.5]}, {"v.e": null}]')
    columns = RowReader([field()], "float32")(rows)
    np.testing.assert_array_equal(columns["v.e"], np.array([[1, 2.5], [np.nan, np.nan]], np.float32))
    assert RowReader([field()], "float32")([])["v.e"].shape == (0, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1]", "should have at least 2 items, not 1"),
        ("[1, 2, 3]", "should have at most 2 items, not 3"),
        ('["a", 2]', "should be a valid number"),
        ("1", "should be a valid"),
    ],
)
def test_what_is_wrong_with_it_is_said_without_its_values(value: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        row_adapter().validate_json(f'[{{"v.e": {value}}}]')
    (problem,) = describe_problems(caught.value, ["v.e"])
    assert message in problem["problem"]


def test_kinds_that_read_no_vectors_say_so_and_name_ways_out() -> None:
    from proml_kedro.spec.run import RunSpec

    config = make_config()
    config = copy.deepcopy(config)
    config["features"]["visit"]["features"]["taste"] = {"dtype": "vector[12]"}
    assert check(RunSpec.model_validate(config)) == [], "* stands for what the kind can read"
    config["model"]["components"]["trees"]["inputs"] = ["visit.price", "visit.taste"]
    run = RunSpec.model_validate(config)
    (mistake,) = check(run)
    assert mistake.key == "model.components.trees.inputs.1"
    assert mistake.message.startswith("'visit.taste' is a vector[12], which kind 'xgboost' cannot read; leave it out")
    assert "cosine_similarity(a, b)" in mistake.message


def test_a_pattern_passes_over_vectors_where_they_cannot_be_read():
    types = {"visit.pages": "int", "visit.taste": "vector[12]"}

    class Able(ComponentSpec):
        takes_vectors = True

    def read(kind, pattern):
        return list(read_by(kind(kind="any", inputs=[pattern]), types, {}))

    assert read(Able, "*") == ["visit.pages", "visit.taste"]
    assert read(ComponentSpec, "visit.*") == ["visit.pages"]
    assert read(ComponentSpec, "visit.taste") == ["visit.taste"], "named, it is a mistake to be told"
