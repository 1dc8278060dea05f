"""Evidently's page is made whatever the columns look like."""

import numpy as np
import pytest

from proml_kedro.health.drift import check_drift
from proml_kedro.health.evidently_report import write_report
from proml_kedro.models.component import Input
from proml_kedro.spec.monitoring import GateSpec

pytestmark = pytest.mark.slow  # importing Evidently takes eight seconds

ROWS = 600
GENERATOR = np.random.default_rng(1)
ODD = {
    "all_null": ("float", np.full(ROWS, np.nan)),
    "infinite": ("float", np.full(ROWS, np.inf)),
    "some_infinite": ("float", np.where(np.arange(ROWS) % 5, 1.5, np.inf)),
    "one_value": ("float", np.where(np.arange(ROWS) == 3, 1.0, np.nan)),
    "constant": ("float", np.full(ROWS, 4.0)),
    "huge": ("float", GENERATOR.normal(size=ROWS) * 1e300),
    "retyped": ("float", np.full(ROWS, "a", object)),
    "null_text": ("str", np.full(ROWS, None, object)),
    "one_text": ("str", np.full(ROWS, "b", object)),
    "ids": ("str", np.array([f"id {number}" for number in range(ROWS)], object)),
    "markup": ("str", np.full(ROWS, "</script><script>alert(1)</script>", object)),
}


def write(file, columns, most_rows=10_000):
    inputs = [Input(name, dtype) for name, (dtype, _) in columns.items()]
    plain = {
        name: GENERATOR.normal(size=ROWS) if dtype == "float" else GENERATOR.choice(["a", "b"], ROWS).astype(object)
        for name, (dtype, _) in columns.items()
    }
    odd = {name: values for name, (_, values) in columns.items()}
    for reference, current in ((plain, odd), (odd, plain)):
        result = check_drift(reference, current, inputs, GateSpec())
        write_report(file, result, reference, current, inputs, most_rows, seed=1)
        assert f"Drift: {result.words}" in file.read_text()
    return file.read_text()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_column_does_not_stop_it(tmp_path, odd):
    usual = ("float", GENERATOR.normal(size=ROWS))
    page = write(tmp_path / "drift.html", {odd: ODD[odd], "usual": usual})
    assert "usual" in page
    assert "<script>alert" not in page


def test_a_vector_is_not_drawn(tmp_path):
    inputs = [Input("tower.member", "vector[4]"), Input("usual", "float")]
    reference, current = (
        {"tower.member": GENERATOR.normal(size=(ROWS, 4)), "usual": GENERATOR.normal(size=ROWS)} for _ in range(2)
    )
    result = check_drift(reference, current, inputs, GateSpec())
    write_report(tmp_path / "drift.html", result, reference, current, inputs, 10_000, seed=1)
    page = (tmp_path / "drift.html").read_text()
    assert "usual" in page
    assert "tower.member" not in page


def test_no_column_at_all(tmp_path):
    assert "No column" in write(tmp_path / "drift.html", {"all_null": ODD["all_null"]})


def test_a_column_that_the_sample_misses(tmp_path):
    rare = np.full(ROWS, np.nan)
    rare[3] = 1.0
    write(tmp_path / "drift.html", {"rare": ("float", rare), "usual": ("float", np.zeros(ROWS))}, most_rows=100)


def test_the_page_needs_no_network(tmp_path):
    page = write(tmp_path / "drift.html", {"usual": ("float", np.zeros(ROWS))})
    assert 'src="http' not in page
    assert len(page) > 100_000


def test_evidently_draws_the_columns_and_our_verdict_stands(tmp_path):
    """Nulls alone make the column differ: Evidently's own tests would not see them, and would find what we do not."""
    generator = np.random.default_rng(4)
    reference = {"holes": generator.normal(size=3000), "same": generator.normal(size=3000)}
    current = {
        "holes": np.where(np.arange(3000) % 3, generator.normal(size=3000), np.nan),
        "same": generator.normal(size=3000) + 0.09,
    }
    inputs = [Input("holes", "float"), Input("same", "float")]
    result = check_drift(reference, current, inputs, GateSpec())
    assert [(one.name, one.words) for one in result.columns] == [
        ("holes", "drifted: nulls"),
        ("same", "like the reference"),
    ]
    write_report(tmp_path / "drift.html", result, reference, current, inputs, 10_000, seed=1)
    page = (tmp_path / "drift.html").read_text()
    for words in (f"Drift: {result.words}", "drifted: 1 of 2 columns; look at holes (nulls)", "like the reference"):
        assert words in page
    for other in ("Dataset Drift", "Drift is detected for", "drift detection threshold"):
        assert other not in page, other
