"""The record of each run: there from its beginning, told apart when it was killed, without secrets, and rotated."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.errors import Mistake, RetriableError, UserError
from proml_kedro.results.run_record import RunRecord, read_records, record_files
from proml_kedro.spec import RunSpec
from proml_kedro.workflow import Run, recording
from proml_kedro.workflow.recording import Recording, state_of
from small import METRICS, make_config


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.of(RunSpec.model_validate(make_config()), tmp_path)


def begin(run: Run, *overrides: str) -> Recording:
    return Recording.begin(run, f"kedro run {' '.join(overrides)}", overrides)


def records(run: Run) -> list[tuple[str, RunRecord]]:
    """State and content of each, the newest first; nothing is skipped."""
    skipped: list[str] = []
    found = [(state_of(file, one), one) for file, one in read_records(run.store.data_dir, skipped.append)]
    assert not skipped
    return found


def test_a_run_is_recorded_while_it_goes_on_and_when_it_has_ended(run: Run) -> None:
    begun = begin(run, "model=x")
    ((state, record),) = records(run)
    assert (state, record.state, record.overrides, record.ended) == ("running", "running", ("model=x",), None)
    with begun.step("train_model"):
        sum(range(1000))
    begun.results["evaluation"] = run.store.build(
        "evaluation",
        {},
        lambda folder: (folder / "metrics.json").write_text(json.dumps({**METRICS, "rows": 7})) and None,
    )
    begun.complete()
    ((state, record),) = records(run)
    assert (state, record.problem, record.model) == ("done", "sales", "xgboost")
    assert record.metrics == METRICS["candidate"]
    assert record.steps.keys() == {"train_model"}
    assert record.results == {"evaluation": f"evaluation/{begun.results['evaluation'].path.name}"}
    assert record.ended is not None
    assert record.ended >= record.started
    assert record.cpu_seconds is not None
    assert record.cpu_seconds > 0
    assert record.peak_memory is not None
    assert record.peak_memory > 20e6, "bytes, of a whole Python"
    assert record.versions["python"].startswith("3.")


def test_a_killed_run_is_told_from_one_that_goes_on(run: Run) -> None:
    child = os.fork()
    if child == 0:
        begin(run)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    alive = begin(run)
    assert sorted(state for state, _ in records(run)) == ["killed", "running"]
    assert alive.record.id in {one.id for state, one in records(run) if state == "running"}


def test_without_locks_the_number_of_the_process_tells(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    begun = begin(run)
    ((file, record),) = read_records(run.store.data_dir, print)
    assert state_of(file, record) == "running"
    gone = replace(record, machine=replace(begun.record.machine, process="4194300.1"))
    assert state_of(file, gone) == "killed"
    elsewhere = replace(record, machine=replace(gone.machine, host="another"))
    assert state_of(file, elsewhere) == "running", "nobody here can tell"


@pytest.mark.parametrize(
    ("error", "text", "retriable"),
    [
        (
            UserError(Mistake("seed", "must be less"), Mistake("model", "is none")),
            "seed: must be less (and 1 more)",
            False,
        ),
        (RetriableError(Mistake("", "Redis is busy")), "Redis is busy", True),
        (KeyboardInterrupt(), "interrupted", False),
        (ValueError("first\nsecond redis://me:hunter2@host"), "ValueError: first", False),
    ],
)
def test_a_failed_run_says_why_in_one_line_and_in_which_step(
    run: Run, error: BaseException, text: str, retriable: bool
) -> None:
    begun = begin(run)
    with pytest.raises(type(error)), begun.step("train_model"):
        raise error
    recording.fail_last(error)
    ((state, record),) = records(run)
    assert state == "failed"
    assert record.error is not None
    assert (record.error.text, record.error.retriable, record.error.step) == (text, retriable, "train_model")


def test_a_run_that_is_complete_has_not_failed_whatever_comes_after(run: Run) -> None:
    begin(run).complete()
    recording.fail_last(SystemExit(1))
    assert [state for state, _ in records(run)] == ["done"]


def test_secrets_are_in_no_record(run: Run) -> None:
    begun = begin(
        run, "+serving.api_key=hunter2", "online_store=redis://me:hunter2@host:6379/0", "x={password: hunter2}"
    )
    begun.fail(UserError(Mistake("", "cannot reach redis://me:hunter2@host")))
    (file,) = record_files(run.store.data_dir)
    written = RunRecord.of(json.loads(file.read_text()))
    assert written.overrides == ("+serving.api_key=…", "online_store=redis://me:…@host:6379/0", "x={password:…")
    assert "hunter2" not in json.dumps(replace(written, command="").as_dict()), "the command is masked by who knows it"


def test_what_is_only_called_alike_is_recorded(run: Run) -> None:
    overrides = ("model.tokens=12", "model.max_tokens=5", "features.token_count.dtype=int", "catalog.x.credentials=s3")
    begin(run, *overrides).complete()
    assert [one.overrides for _, one in records(run)] == [overrides]


def test_runs_at_once_have_a_record_each(run: Run) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: begin(run).complete(), range(40)))
    assert [state for state, _ in records(run)] == ["done"] * 40
    assert len({one.id for _, one in records(run)}) == 40
    assert not [one for one in (run.store.data_dir / "runs").iterdir() if one.name.startswith(".")]


def test_the_oldest_go(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "KEPT", 3)
    ids = []
    for _ in range(5):
        begun = begin(run)
        begun.complete()
        ids.append(begun.record.id)
    assert {one.id for _, one in records(run)} <= set(ids)
    assert len(records(run)) == 3


def test_a_run_goes_on_where_its_record_cannot_be_written(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.store.data_dir.mkdir()
    (run.store.data_dir / "runs").write_text("in the way")
    begun = begin(run)
    begun.fail(OSError("x"))
    begun.complete()
    assert ["the run is not recorded" in one.getMessage() for one in caplog.records] == [True], "once a reason"


UNREADABLE = {
    "damaged": '{"version": 1, "id": ',
    "empty": "",
    "binary": "\x00\x01",
    "another sort": "[1, 2]",
    "of other types": '{"version": 1, "id": "a", "started": 7}',
    "lacks what it must have": '{"version": 1}',
    "of a later version": '{"version": 99, "shape": "unknown"}',
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_record_is_skipped_with_one_line(run: Run, content: str) -> None:
    begin(run).complete()
    (run.store.data_dir / "runs" / "20200101T000000.000-aaaaaaaa.json").write_text(content)
    said: list[str] = []
    assert len(list(read_records(run.store.data_dir, said.append))) == 1
    assert len(said) == 1
    assert "\n" not in said[0]
    assert "aaaaaaaa.json: is skipped" in said[0]


def test_a_record_with_fewer_and_with_more_keys_is_read(run: Run) -> None:
    begun = begin(run)
    old = {
        name: begun.record.as_dict()[name] for name in ("id", "started", "command", "problem", "model", "composition")
    }
    old["machine"], old["something new"] = begun.record.as_dict()["machine"], {"a": 1}
    begun.complete()
    (run.store.data_dir / "runs" / "20200101T000000.000-aaaaaaaa.json").write_text(json.dumps(old))
    assert [state for state, _ in records(run)] == ["done", "killed"]
