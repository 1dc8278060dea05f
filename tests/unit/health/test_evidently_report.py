"""Evidently's page is made whatever the columns look like."""

import numpy as np
import pytest

from proml_kedro.health.evidently_report import write_report
from proml_kedro.models.component import Input

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
    write_report(file, plain, odd, inputs, most_rows, seed=1)
    write_report(file, odd, plain, inputs, most_rows, seed=1)
    return file.read_text()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_column_does_not_stop_it(tmp_path, odd):
    usual = ("float", GENERATOR.normal(size=ROWS))
    page = write(tmp_path / "drift.html", {odd: ODD[odd], "usual": usual})
    assert "usual" in page
    assert "<script>alert" not in page


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
