"""A search on disk: shared by processes, and gone on with after one was killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from proml_kedro.errors import UserError
from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.study import Study

FACTS = SearchFacts(
    problem="p",
    model="m",
    metric="auc",
    higher_is_better=True,
    space=("a=1,2",),
    overrides=(),
    sampler="grid",
    seed=0,
    made_from="x",
)


def following(trials: Sequence[Trial]) -> Trial | None:
    number = len(trials) + 1
    return Trial(number=number, point={"a": float(number)}, overrides=(f"a={number}",)) if number <= 30 else None


def forked(work: object) -> int:
    """Run something in a child process, which then waits to be killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        work()  # type: ignore[operator]
        os.write(write, b".")
        signal.pause()
        os._exit(0)
    os.read(read, 1)
    os.close(read)
    os.close(write)
    return child


def test_the_trial_of_a_killed_process_is_made_again_and_no_other_is_lost(tmp_path: Path) -> None:
    Study(tmp_path, "s", FACTS)
    kept: list[Study] = []

    def begin_two() -> None:
        kept.append(Study(tmp_path, "s", FACTS))
        first = kept[0].begin(following)
        assert first is not None
        kept[0].end(replace(first, state="done", value=0.5))
        kept[0].begin(following)

    child = forked(begin_two)
    study = Study(tmp_path, "s", FACTS)
    assert [study.is_left(one) for one in study.trials()] == [False, False]
    third = study.begin(following)
    assert third is not None
    assert third.number == 3  # the second is at work elsewhere
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    again = study.begin(following)
    assert again is not None
    assert (again.number, again.point) == (2, {"a": 2.0})
    assert [one.state for one in study.trials()] == ["done", "running", "running"]


def test_processes_share_the_trials(tmp_path: Path) -> None:
    Study(tmp_path, "s", FACTS)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            study = Study(tmp_path, "s", FACTS)
            while (trial := study.begin(following)) is not None:
                study.end(replace(trial, state="done", value=trial.number / 100, facts={"by": os.getpid()}))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    trials = Study(tmp_path, "s", FACTS).trials()
    assert [one.number for one in trials] == list(range(1, 31))
    assert all(one.state == "done" and one.value == one.number / 100 for one in trials)


def test_trials_that_have_ended_hold_no_file(tmp_path: Path) -> None:
    study = Study(tmp_path, "s", FACTS)
    before = len(list(Path("/proc/self/fd").iterdir()))
    while (trial := study.begin(following)) is not None:
        study.end(replace(trial, state="done", value=0.5))
    assert len(study.trials()) == 30
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"space": ("a=1,3",)}, "other space"),
        ({"pruning": "asha"}, "other pruning"),
        ({"made_from": "y"}, "other data, configuration or code"),
    ],
)
def test_a_name_is_of_one_search(tmp_path: Path, change: dict[str, object], answer: str) -> None:
    Study(tmp_path, "s", FACTS)
    with pytest.raises(UserError, match=answer):
        Study(tmp_path, "s", replace(FACTS, **change))  # type: ignore[arg-type]


def test_it_counts_the_models_that_were_judged_on_the_test_period(tmp_path: Path) -> None:
    study = Study(tmp_path, "s", FACTS)
    trial = following([])
    assert trial is not None
    assert study.judge(trial) == 1
    assert study.judge(trial) == 1
    assert study.judge(replace(trial, number=2)) == 2
    assert Study(tmp_path, "s", FACTS).facts.judged == (1, 2)
