"""Components that do not need each other are fitted at the same time, with the results of one after the other."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Barrier, Lock, active_count

import pytest

from proml_kedro.errors import UserError
from proml_kedro.models.component import FitContext
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.graph.schedule import Job, run_jobs
from proml_kedro.spec import HardwareSpec, ModelSpec
from proml_kedro.testing import INPUTS, make_examples

DTYPES = {one.name: one.dtype for one in INPUTS}
ONE, TWO = (HardwareSpec(threads=threads) for threads in (1, 2))


def jobs(*names, after=None, memory=0, threads=1, alone=None):
    after = after or {}
    return [Job(name, frozenset(after.get(name, ())), HardwareSpec(threads=threads), memory, alone) for name in names]


def most_at_once(some, run):
    """Run jobs that take a moment, and return in which order they ended and how many there were at once."""
    lock, now, most, ended = Lock(), [0], [0], []

    def work():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1

    run_jobs(some, run, lambda job: work, lambda job, result: ended.append(job.name))
    return ended, most[0]


def test_jobs_that_need_nothing_of_each_other_run_together():
    meeting = Barrier(2, timeout=60)
    run_jobs(jobs("a", "b"), TWO, lambda job: meeting.wait, lambda job, result: None)


@pytest.mark.parametrize(
    "some",
    [
        jobs("a", "b", after={"b": ["a"]}),
        jobs("a", "b", "c", after={"b": ["a"], "c": ["a", "b"]}),
        jobs("a", "b", memory=1_500_000_000),
        jobs("a", "b", threads=2),
        jobs("a", "b", alone="deep"),
        [*jobs("a"), *jobs("b", threads=2)],
    ],
    ids=["chain", "triangle", "memory", "threads", "library", "threads that differ"],
)
def test_jobs_that_cannot_run_together_run_in_order(some):
    assert most_at_once(some, TWO) == ([job.name for job in some], 1)


def test_no_more_run_than_there_are_threads():
    ended, most = most_at_once(jobs(*"abcdefg"), HardwareSpec(threads=3))
    assert sorted(ended) == list("abcdefg")
    assert most <= 3
    assert most_at_once(jobs(*"abcdefg"), ONE)[1] == 1


def test_a_job_begins_when_what_it_needs_is_done():
    seen = []
    some = jobs(*"abcde", after={"c": ["a"], "d": ["b", "c"], "e": ["d"]})

    def begin(job):
        seen.append(f"+{job.name}")
        return lambda: None

    run_jobs(some, HardwareSpec(threads=4), begin, lambda job, result: seen.append(f"-{job.name}"))
    for job in some:
        assert all(seen.index(f"-{name}") < seen.index(f"+{job.name}") for name in job.after)


def test_the_error_is_that_of_one_after_the_other():
    """The second fails at once, the first late, and the third, which needs none of them, never begins in order."""
    begun, meeting = [], Barrier(2, timeout=60)

    def begin(job):
        begun.append(job.name)

        def work():
            meeting.wait()
            if job.name == "a":
                time.sleep(0.05)
            raise ValueError(job.name)

        return work

    with pytest.raises(ValueError, match=r"^a$"):
        run_jobs(jobs("a", "b", "c"), TWO, begin, lambda job, result: None)
    assert begun == ["a", "b"]


def test_what_comes_before_a_failure_is_still_tried():
    """c fails while a runs; b, which waits for a and comes before c, would have failed first."""
    meeting = Barrier(2, timeout=60)

    def begin(job):
        def work():
            if job.name in "ac":
                meeting.wait()
            if job.name != "a":
                raise ValueError(job.name)

        return work

    with pytest.raises(ValueError, match=r"^b$"):
        run_jobs(jobs("a", "b", "c", after={"b": ["a"]}), TWO, begin, lambda job, result: None)


ALONE = {"hardware": {"threads": 1}}
COMPONENTS = {
    "trees": {"kind": "xgboost", "inputs": ["shop.*"], "num_boost_round": 30, "params": {"subsample": 0.5}, **ALONE},
    "personal": {"kind": "mixed", "inputs": ["shop.*"], "random_effects": [{"entity": "shop.city"}], **ALONE},
    "line": {"kind": "logistic", "inputs": ["shop.*"], **ALONE},
    "last": {"kind": "logistic", "inputs": ["trees.margin", "personal.margin", "line.margin"], **ALONE},
}


def fitted(components, hardware, folder: Path):
    graph = ModelGraph(ModelSpec(name="m", components=components, score="last"), DTYPES)
    graph.fit(make_examples(400, 1), make_examples(200, 2), FitContext(hardware, seed=3))
    graph.save(folder)
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_graph_is_the_same_bit_for_bit(tmp_path):
    before = active_count()
    together = fitted(COMPONENTS, HardwareSpec(threads=3), tmp_path / "together")
    alone = fitted(COMPONENTS, ONE, tmp_path / "alone")
    assert len(together) > 5
    assert together == alone
    assert active_count() <= before, "no thread is left"


def test_a_component_that_fails_says_so_as_it_does_alone(tmp_path):
    """Whatever runs beside the trees."""
    wrong = COMPONENTS["trees"] | {"params": {"interaction_constraints": [["shop.prize"]]}}
    said = []
    for hardware in (HardwareSpec(threads=3), ONE):
        with pytest.raises(UserError) as caught:
            fitted(COMPONENTS | {"trees": wrong}, hardware, tmp_path)
        said.append([(one.key, one.message) for one in caught.value.mistakes])
    assert said[0] == said[1]
    assert said[0][0][0] == "model.components.trees.params"
