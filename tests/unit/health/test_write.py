"""What the verdict looks like as files."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from proml_kedro.health.drift import check_drift
from proml_kedro.health.report import show_in_ci, write_result
from proml_kedro.models.component import Input
from proml_kedro.spec.monitoring import GateSpec

INPUTS = [Input("view.shifted", "float"), Input("view.same", "float"), Input("view.gone", "str")]


@pytest.fixture(autouse=True)
def no_step_summary(monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture(scope="module")
def result():
    generator = np.random.default_rng(1)
    reference = {
        "view.shifted": generator.normal(size=2000),
        "view.same": generator.normal(size=2000),
        "view.gone": np.full(2000, "a", object),
    }
    current = {"view.shifted": generator.normal(0.4, 1, 2000), "view.same": generator.normal(size=2000)}
    return check_drift(reference, current, INPUTS, GateSpec())


def test_the_json_holds_every_column(result, tmp_path):
    write_result(tmp_path, result, "sales")
    content = json.loads((tmp_path / "drift.json").read_text(), parse_constant=pytest.fail)
    assert content["verdict"] == "drift"
    verdicts = [(one["name"], one["verdict"]) for one in content["columns"]]
    assert verdicts == [("view.gone", "drift"), ("view.shifted", "warn"), ("view.same", "ok")]
    assert content["flagged_share"] == pytest.approx(2 / 3)


def test_junit_fails_what_fails(result, tmp_path):
    write_result(tmp_path, result, "sales")
    suite = ET.parse(tmp_path / "drift.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["verdict", "view.gone"]
    assert suite.find("testcase[@name='verdict']/failure").get("message") == result.words
    assert "PSI" in suite.find("testcase[@name='view.shifted']/system-out").text


def test_markdown_and_the_page_of_a_ci_job(result, tmp_path, monkeypatch):
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    write_result(tmp_path, result, "sales")
    show_in_ci(result, "sales")
    markdown = (tmp_path / "drift.md").read_text()
    assert page.read_text() == "before\n" + markdown
    assert "**drifted: 1 of 3 columns, 1 more differs; look at view.gone (schema)**" in markdown
    assert "| view.gone | drifted: schema | schema 100% | the column is missing |" in markdown


def test_the_plot_is_a_picture(result, tmp_path):
    write_result(tmp_path, result, "sales")
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_show_is_no_error(tmp_path):
    for current in ({}, {"other": np.zeros(5000)}):
        write_result(tmp_path, check_drift({"view.gone": np.full(900, "a", object)}, current, INPUTS, GateSpec()), "x")
        assert json.loads((tmp_path / "drift.json").read_text())["columns"][0]["reasons"] == ["schema"]
