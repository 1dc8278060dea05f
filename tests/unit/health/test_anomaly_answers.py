"""What people say of anomalies is kept, counts, and makes later alarms better."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from anomaly_data import broken, clean, f1, series_of, settings
from proml_kedro.errors import UserError
from proml_kedro.health.anomalies.detect import Feedback, detect, intervals, sides
from proml_kedro.health.anomalies.detector import detector_of
from proml_kedro.health.anomalies.series import Figures
from proml_kedro.health.anomalies.store import SCHEMA, Answered, AnswerStore, Said, read_answers
from proml_kedro.health.anomalies.tune import best_factor, tune
from proml_kedro.health.anomalies.watch import feedback_of
from proml_kedro.health.buckets import Periods
from proml_kedro.results.anomalies import ALL, Anomaly
from proml_kedro.spec.anomalies import MonitorSpec

ROOT = Path(__file__).parents[3]
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
SPEC = MonitorSpec(table="t", moment="at", agg="mean", expression="x")


def anomaly(number: int, monitor: str = "m", strength: float = 2.0) -> Anomaly:
    begin = BEGIN + number * timedelta(days=1)
    return Anomaly(f"a{number}", monitor, ALL, "", begin, begin + timedelta(days=1), 1, 5.0, 3.0, strength, 1.0)


def store(folder: Path, anomalies: int = 3, problem: str = "p") -> AnswerStore:
    made = AnswerStore(folder / "anomalies.sqlite", problem)
    made.remember([anomaly(number) for number in range(anomalies)])
    return made


def test_the_newest_answer_counts_and_all_are_kept(tmp_path):
    ours, other = store(tmp_path), store(tmp_path, problem="q")
    ours.add([Said("a0", "anomaly", "ann"), Said("a1", "undecided", "ann")], "")
    ours.add([Said("a0", "false-alarm", "bob", "a holiday")], "")
    found = {one.id: (one.answer, one.who, one.note) for one in ours.answered()}
    assert found == {"a0": ("false-alarm", "bob", "a holiday"), "a1": ("undecided", "ann", "")}
    assert ours.answered()[0].begin == BEGIN + timedelta(days=1), "the newest first"
    assert other.answered() == []
    with sqlite3.connect(tmp_path / "anomalies.sqlite") as connection:
        rows = connection.execute("SELECT id, answer, who FROM answers ORDER BY number").fetchall()
    assert rows == [("a0", "anomaly", "ann"), ("a1", "undecided", "ann"), ("a0", "false-alarm", "bob")]


def test_unknown_anomalies_are_refused_and_nothing_of_the_batch_is_kept(tmp_path):
    ours = store(tmp_path)
    with pytest.raises(UserError, match="no anomaly 'a9'"):
        ours.add([Said("a0", "anomaly", "ann"), Said("a9", "anomaly", "ann")], "")
    assert ours.answered() == []
    (tmp_path / "broken.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="cannot be used"):
        AnswerStore(tmp_path / "broken.sqlite", "p").answered()


def test_answers_of_a_file(tmp_path):
    file = tmp_path / "answers.csv"
    file.write_text("id,answer,note\na0,anomaly,\na1,false-alarm,sale\n")
    assert read_answers(file, "ann") == [Said("a0", "anomaly", "ann"), Said("a1", "false-alarm", "ann", "sale")]
    file.write_text("id,answer\na0,anomly\n")
    with pytest.raises(UserError, match=r"answers\.csv:2: no answer 'anomly'\. Did you mean 'anomaly'"):
        read_answers(file, "ann")
    file.write_text("id\na0\n")
    with pytest.raises(UserError, match="no column 'answer'"):
        read_answers(file, "ann")
    with pytest.raises(UserError, match="cannot be read"):
        read_answers(tmp_path / "none.csv", "ann")


def test_the_schema_is_the_one_that_is_published():
    assert (ROOT / "monitoring/labels.sql").read_text() == SCHEMA


WRITER = """
import sys
from pathlib import Path
from proml_kedro.health.anomalies.store import AnswerStore, Said
store = AnswerStore(Path(sys.argv[1]), "p")
for number in range(int(sys.argv[3])):
    store.add([Said(f"a{number % 3}", "anomaly", f"{sys.argv[2]} {number}")], "")
    print(number, flush=True)
"""


def write(folder: Path, name: str, answers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder / "anomalies.sqlite"), name, str(answers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_writers_at_once_and_one_that_is_killed_lose_no_answer_that_was_acknowledged(tmp_path):
    store(tmp_path)
    writers = [write(tmp_path, "ann", 20), write(tmp_path, "bob", 20), write(tmp_path, "eve", 100_000)]
    for _ in range(12):
        assert writers[2].stdout is not None
        last = int(writers[2].stdout.readline())
    writers[2].send_signal(signal.SIGKILL)
    acknowledged = [last, *map(int, writers[2].communicate()[0].split())]
    assert [(len(one.communicate()[0].split()), one.returncode) for one in writers[:2]] == [(20, 0), (20, 0)]
    with sqlite3.connect(tmp_path / "anomalies.sqlite") as connection:
        said = {who for (who,) in connection.execute("SELECT who FROM answers")}
    assert {f"{name} {number}" for name in ("ann", "bob") for number in range(20)} <= said
    assert {f"eve {number}" for number in range(max(acknowledged) + 1)} <= said


def figures(values: np.ndarray) -> Figures:
    first = (BEGIN - datetime(1970, 1, 5, tzinfo=UTC)).days
    return Figures([(ALL, "")], series_of(values), Periods(timedelta(days=1), first, values.shape[1]), [])


def test_a_new_trend_is_the_new_normal_at_once(tmp_path):
    """Eight units more from day 200 on: learned over weeks by itself, over days once somebody has said so."""
    values = clean(np.random.default_rng(2), 1)
    values[:, 200:] += 8
    before, *_ = detect("m", SPEC, figures(values))
    shift = next(one for one in before if one.begin == BEGIN + 200 * timedelta(days=1))
    later = [one for one in before if one.end > shift.begin]
    assert sum(one.periods for one in later) > 8
    ours = AnswerStore(tmp_path / "anomalies.sqlite", "p")
    ours.remember(before)
    ours.add([Said(shift.id, "new-trend", "ann")], "")
    after, *_ = detect("m", SPEC, figures(values), feedback=feedback_of(ours)["m"])
    assert not [one for one in after if one.end > shift.begin]
    values[:, 300] += 15
    spike, *_ = detect("m", SPEC, figures(values), feedback=feedback_of(ours)["m"])
    assert [one.begin for one in spike if one.begin > shift.begin] == [BEGIN + 300 * timedelta(days=1)]
    assert [one for one in after if one.end <= shift.begin] == [one for one in before if one.end <= shift.begin]


def answer(strength: float, is_true: bool, number: int) -> Answered:
    said = "anomaly" if is_true else "false-alarm"
    return Answered(f"{number}", "m", ALL, "", BEGIN, strength, said, "ann", BEGIN, "")


@pytest.mark.slow
def test_tuning_leaves_out_what_was_no_anomaly_and_helps_on_other_series():
    """Answers about the alarms of some series; others, which nobody has looked at, are better for it."""
    values, truth = broken(np.random.default_rng(11), 160, 6.0)
    spec = next(settings(("seasonal",))).model_copy(update={"deviations": 3.0})
    band = detector_of(spec).band(series_of(values))
    outside = sides(values, band)
    answers = []
    for row in range(20):
        for places in intervals(outside[row], 1):
            edge = np.where(outside[row] > 0, band.high[row], band.low[row])
            distance = np.abs(values[row] - band.expected[row]) / np.abs(edge - band.expected[row])
            is_true = any(begin <= places[-1] and places[0] <= end for begin, end in truth[row])
            answers.append(answer(float(distance[places].max()), is_true, len(answers)))
    (tuned,) = tune(answers)
    assert tuned.factor > 1.2
    assert tuned.after > tuned.before
    wider = sides(values, band.widened(tuned.factor))
    reached = [
        f1([[(one[0], one[-1]) for one in intervals(side, 1)] for side in found[20:]], truth[20:])[2]
        for found in (outside, wider)
    ]
    assert reached[1] > reached[0] + 0.08


def test_few_answers_change_nothing_and_undecided_ones_are_none():
    few = [answer(1.1, False, number) for number in range(4)]
    assert [(one.factor, one.answers) for one in tune(few)] == [(1.0, 4)]
    assert tune([replace(one, answer="undecided") for one in few]) == []
    assert best_factor([(1.5, True)] * 20) == 1.0


def test_a_width_is_kept_and_the_newest_counts(tmp_path):
    ours = store(tmp_path)
    ours.widen({"m": 1.5, "n": 2.0}, "ann")
    ours.widen({"m": 1.2}, "bob")
    assert ours.widths() == {"m": 1.2, "n": 2.0}
    values = clean(np.random.default_rng(3), 1)
    values[0, 250] += 7
    plain = detect("m", SPEC, figures(values))[0][0]
    assert plain.begin == BEGIN + 250 * timedelta(days=1)
    wide = detect("m", SPEC, figures(values), feedback=Feedback(plain.strength * 1.01))[0]
    assert plain.id not in {one.id for one in wide}
    close = detect("m", SPEC, figures(values), feedback=Feedback(plain.strength * 0.99))[0]
    assert plain.id in {one.id for one in close}
