"""Features that know the answer."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from proml_kedro.features.training import telling
from proml_kedro.features.training.leaks import declared_leaks, measured_leaks
from proml_kedro.features.training.telling import _auc
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec
from shop import FEATURES, HARDWARE, PROBLEM


def declared(**spending: Any) -> dict[str, str]:
    features = copy.deepcopy(FEATURES)
    features["spending"]["source"].update(spending)
    return dict(declared_leaks(ProblemSpec.model_validate(PROBLEM), FeaturesSpec.model_validate(features)))


def test_a_request_feature_of_the_label_s_columns_through_a_derived_one() -> None:
    assert declared() == {"visit.is_big": "is computed from 'amount', and so is the label: no request can bring it"}


def test_windows_that_know_the_label_at_the_moment_itself() -> None:
    found = declared(delay="0h")
    wanted = "takes 'amount', which the label is computed from, to be known at seen_at; give its source a delay"
    assert found["spending.amount"] == found["spending.big"] == wanted
    assert "spending.visits" not in found, "it only counts"


def write(folder: Path, label: Any = None) -> Path:
    generator = np.random.default_rng(2)
    n = 4000
    label = (generator.random(n) < 0.3).astype(np.float32) if label is None else label
    noise = generator.normal(size=n)
    absent = np.where(label == 1, np.nan, noise)
    columns = {
        "example_id": np.arange(n),
        "split": ["train"] * n,
        "label": label,
        "v.honest": noise + label,
        "v.answer": -label + noise * 0.01,
        "v.near": label * 3.2 + noise,
        "v.absent": pa.array(absent, from_pandas=True),
        "v.word": np.where(label == 1, generator.choice(["a", "b"], n), generator.choice(["c", "d"], n)),
        "v.id": [f"id{one}" for one in range(n)],
        "v.flag": label == 1,
        "v.vector": [[float(one), 0.0] for one in label],
        "v.empty": pa.nulls(n, pa.float64()),
    }
    pq.write_table(pa.table(columns), folder / "training_set.parquet")
    return folder / "training_set.parquet"


NAMES = [f"v.{one}" for one in ["honest", "answer", "near", "absent", "word", "id", "flag", "vector", "empty", "gone"]]


def test_what_a_training_set_gives_away(tmp_path: Path) -> None:
    found = {name: (message, certain) for name, message, certain in measured_leaks(write(tmp_path), NAMES, HARDWARE)}
    assert set(found) == {"v.answer", "v.near", "v.absent", "v.word", "v.flag"}
    assert found["v.absent"][0].startswith("its absence alone predicts the label (AUC 1.000)")
    assert [name for name, (_, certain) in found.items() if not certain] == ["v.near"]


@pytest.mark.parametrize(
    "label", [np.zeros(4000), np.arange(4000) / 7.0, np.arange(4000) % 3], ids=["one", "many", "3"]
)
def test_other_labels_are_passed_over(tmp_path: Path, label: Any) -> None:
    assert list(measured_leaks(write(tmp_path, label.astype(np.float32)), NAMES, HARDWARE)) == []


def test_of_several_classes_each_is_told_from_all_others(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    n = 3000
    label = generator.integers(0, 4, n)
    noise = generator.normal(size=n)
    one_class = pa.array(np.where(label == 2, np.nan, noise), from_pandas=True)
    columns = {
        "example_id": np.arange(n),
        "split": ["train"] * n,
        "label": label.astype(np.float64),
        "v.code": (7 - 2 * label) % 5,  # in another order than the classes
        "v.near": label * 3.2 + noise,
        "v.name": np.array(["north", "east", "south", "west"])[label],
        "v.one": np.where(label == 1, noise + 9, noise),
        "v.absent": one_class,
        "v.honest": label + noise,
        "v.id": generator.permutation(n),
    }
    pq.write_table(pa.table(columns), tmp_path / "training_set.parquet")
    names, classes = [one for one in columns if one.startswith("v.")], ["a", "b", "c", "d"]
    found = {
        name: (message, certain)
        for name, message, certain in measured_leaks(tmp_path / "training_set.parquet", names, HARDWARE, classes)
    }
    assert {name for name, (_, certain) in found.items() if certain} == {"v.code", "v.name", "v.absent"}
    assert {name for name, (_, certain) in found.items() if not certain} == {"v.near", "v.one"}
    assert found["v.code"][0].startswith("it alone predicts the label (mean AUC of classes 1.000)")
    assert found["v.one"][0].startswith("it alone predicts class 'b' (AUC 1.000)")
    assert found["v.absent"][0].startswith("its absence alone predicts class 'c' (AUC 1.000)")
    assert list(measured_leaks(tmp_path / "training_set.parquet", names, HARDWARE)) == [], "a count, say"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=60))
def test_the_area_is_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in rows] + [0] * 50 + [1] * 50, np.float64)
    label = np.array([one for _, one in rows] + [0] * 50 + [1] * 50, np.float64)
    area = roc_auc_score(label, values)
    assert _auc(values, label) == pytest.approx(max(area, 1 - area), abs=1e-12)


def _area_row_by_row(values, label):
    """What is measured, written down as it is defined."""
    half = len(values) // 2
    overall = label[:half].mean()
    rates = [
        label[:half][values[:half] == one].mean() if one in values[:half] else overall for one in values[half:].tolist()
    ]
    return telling._auc(np.array(rates), label[half:])


def test_text_is_looked_at_in_time_in_proportion_to_its_rows():
    generator = np.random.default_rng(0)
    label = (generator.random(400_000) < 0.3).astype(float)
    values = np.where(generator.random(400_000) < 0.2 + 0.5 * label, "a", "b").astype(object)
    values[300_000:300_100] = "new"
    assert telling.area_of(values[:600], label[:600]) == pytest.approx(_area_row_by_row(values[:600], label[:600]))
    known = _area_row_by_row(values[299_000:301_000], label[299_000:301_000])
    assert telling.area_of(values[299_000:301_000], label[299_000:301_000]) == pytest.approx(known), (
        "with a new category"
    )
    started = time.process_time()
    telling.area_of(values, label)
    assert time.process_time() - started < 2
