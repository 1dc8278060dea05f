"""`kedro anomalies`: what is printed of the anomalies of a problem's tables, and with which exit code."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proml_kedro.commands.anomalies import make_group
from proml_kedro.errors import UserError

PROBLEM = """\
tables: {days: {source: days.csv}}
examples: {table: days, entities: [k], timestamp: at}
label: {expression: town = 'Bern'}
split: {validation_from: 2024-02-20, test_from: 2024-03-10}
"""
FEATURES = "visit: {source: request, features: {k: {dtype: int}}}\n"
MONITORING = """\
anomalies:
  monitors:
    visits: {table: days, moment: at, agg: count, dimensions: [town]}
"""


@pytest.fixture
def project(tmp_path: Any, make_project: Any) -> Any:
    """A hundred days of 40 visits, and a day of 10."""
    made = make_project(tmp_path)
    made.write("problem/shop.yaml", PROBLEM)
    made.write("features/shop.yaml", FEATURES)
    made.edit("model/trees.yaml", '[price.price, "spending.*", visit.hour]', "[visit.k]")
    lines = [
        f"{number},{date(2024, 1, 1) + timedelta(days=day)},{'Bern' if number % 4 else 'Oslo'}"
        for day in range(100)
        for number in range(10 if day == 90 else 40 + day % 3)
    ]
    (tmp_path / "days.csv").write_text("\n".join(["k,at,town", *lines]) + "\n")
    made.write("monitoring/default.yaml", MONITORING)
    return made


def detect(project: Any, *words: str) -> Result:
    words = ("detect", *words, f"data_dir={project.data}", "--conf-source", str(project.conf))
    return CliRunner().invoke(make_group(), list(words), standalone_mode=False)


def test_what_is_printed(project, tmp_path):
    done = detect(project, "-o", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["id", "metric", "dimension", "from"]
    assert sum("2024-03-31" in line for line in lines) >= 2, "of all rows and of Bern"
    assert any(line.startswith("visits: ") and "of 3 x 100 periods could be judged" in line for line in lines)
    written = json.loads((tmp_path / "out" / "anomalies.json").read_text())
    assert json.loads(detect(project, "--json").stdout) == written
    assert written["anomalies"][0]["begin"].startswith("2024-03-31")
    strict = detect(project, "--strict")
    assert strict.exception.code == 1
    assert detect(project, "--strict", "--since", "2024-05-01").exit_code == 0
    assert "visits: 0 anomalies" in detect(project, "--until", "2024-03-31").output


def test_mistakes(project):
    for words, message in (
        (["monitoring.anomalies.monitors.visits.moment=when"], "no column 'when'"),
        (["monitoring.anomalies.monitors.visits.table=nights"], "no table 'nights'"),
        (["--since", "soon"], "'soon' is no moment"),
    ):
        done = detect(project, *words)
        assert isinstance(done.exception, UserError)
        assert message in str(done.exception)
    project.write("monitoring/default.yaml", "{}\n")
    assert "declares no monitors" in str(detect(project).exception)


def run(project: Any, *words: str) -> Result:
    words = (*words, f"data_dir={project.data}", "--conf-source", str(project.conf))
    return CliRunner().invoke(make_group(), list(words), standalone_mode=False)


def test_why_it_was_so(project, tmp_path):
    """Of all towns a quarter came, which is told of an anomaly's id and of the same day alike."""
    found = json.loads(detect(project, "--json").stdout)["anomalies"]
    of_all = next(one["id"] for one in found if not one["value"])
    done = run(project, "explain", of_all, "-o", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    first = done.stdout.splitlines()[0]
    assert first.startswith("visits, 2024-03-31 00:00 to 2024-04-01 00:00: 10 for ")
    assert "everybody fell; no value of town stands out" in first
    written = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    day = run(project, "explain", "visits", "--since", "2024-03-31", "--until", "2024-04-01", "--json")
    assert {**json.loads(day.stdout), "anomaly": of_all} == written
    assert (
        "nothing happened" in run(project, "explain", "visits", "--since", "2024-03-29", "--until", "2024-03-30").stdout
    )
    for words, message in (
        (["explain"], "write the ID of one anomaly"),
        (["explain", "nope"], "no anomaly or metric 'nope'"),
        (["explain", "visits"], "takes --since"),
        (["explain", of_all, "--since", "2024-03-31"], "is none"),
        (["detect", "--since", "2024-03-31", "--until", "2024-03-30"], "is not before --until 2024-03-30"),
        (["detect", "--since", "2999-01-01"], "is not before now"),
        (["detect", "monitoring.anomalies.monitors.visits.detector.season=36h"], "do not fill it"),
    ):
        assert message in str(run(project, *words).exception), words


def test_who_is_told(project, tmp_path):
    """The verdict is printed and decides the exit code, whatever became of a message."""
    file, down = "log: {kind: file, path: out/alerts.jsonl}", "team: {kind: webhook, url: 'http://127.0.0.1:1/'}"
    project.write("monitoring/default.yaml", MONITORING + f"  alerts: {{receivers: {{{file}, {down}}}}}\n")
    first = detect(project, "--alert", "--until", "2024-04-02")
    assert first.exception.code == 4
    assert "visits: 3 anomalies" in first.stdout
    assert first.stderr.endswith("log: told of 3\nteam: not told of 3: it cannot be reached: Connection refused\n")
    (line,) = (project.data.parent / "out" / "alerts.jsonl").read_text().splitlines()
    causes = {one["value"]: one["cause"] for one in json.loads(line)["anomalies"]}
    assert "everybody fell" in causes[""]
    assert detect(project, "--alert", "--strict", "--until", "2024-04-02").exception.code == 1
    project.write("monitoring/default.yaml", MONITORING)
    assert "declares no receivers" in str(detect(project, "--alert").exception)


@pytest.mark.slow
def test_what_people_say_is_kept_and_shown(project, tmp_path):
    assert run(project, "labels").stdout == "no answers\n"
    assert "no answers" in run(project, "tune").stdout
    found = json.loads(detect(project, "--json").stdout)["anomalies"]
    first, second = found[0]["id"], found[1]["id"]
    assert run(project, "label", first, "false-alarm", "--note", "a feast", "--who", "ann").stdout == "1 answers kept\n"
    (tmp_path / "said.csv").write_text(f"id,answer,who\n{second},anomaly,bob\n")
    assert run(project, "label", "--file", str(tmp_path / "said.csv")).exit_code == 0
    shown = run(project, "labels").stdout.splitlines()
    assert any(first in line and "false-alarm" in line and "ann" in line and "a feast" in line for line in shown)
    assert {one["answer"] for one in json.loads(run(project, "labels", "--json").stdout)} == {"anomaly", "false-alarm"}
    assert "takes 5 answers" in run(project, "tune").stdout
    for words, message in (
        (["label", "nope", "anomaly"], "no anomaly 'nope'"),
        (["label", first, "maybe"], "no answer 'maybe'"),
        (["label", first], "write ID and ANSWER"),
    ):
        assert message in str(run(project, *words).exception)
