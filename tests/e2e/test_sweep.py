"""Searches from YAML to the winner: what chooses, what is judged, what a killed process leaves."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from proml_kedro import open_project
from proml_kedro.config.overrides import parse
from proml_kedro.results.trial import Trial, read_trials
from proml_kedro.search import Search, open_search
from proml_kedro.search.judge import judge
from proml_kedro.search.report import as_yaml, table
from searched import DEPTH, RATE, calls, write_project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SPACE = ("model=trees,line", f"{DEPTH}=range(1,5)", f"{RATE}=tag(log,interval(0.05,0.5))")
KEPT = ("hardware.threads=1", "search.trials=12")


def opened(folder: Path, *overrides: str) -> Search:
    return open_search(open_project(folder, *(overrides or (*SPACE, *KEPT))))


def told(trials: list[Trial]) -> list[Any]:
    return [(one.number, one.state, one.overrides, one.value) for one in trials]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("calls"))


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[Search, list[Trial]]:
    search = opened(folder)
    return search, search.run()


def test_a_trial_is_what_a_run_without_refit_comes_to(folder: Path, done: tuple[Search, list[Trial]]) -> None:
    """The figure is that of scikit-learn on the scores that a run writes for the validation part."""
    from sklearn.metrics import roc_auc_score

    from proml_kedro.results import Scores

    _, trials = done
    trial = next(one for one in trials if "model=trees" in one.overrides)
    run = open_project(folder, "hardware.threads=1", *trial.overrides, "model.components.trees.refit=false")
    evaluation = run.run(results=("evaluation",))["evaluation"].path
    import pyarrow.parquet as pq

    scores = pq.read_table(evaluation / Scores.FILE).to_pandas()
    kept = scores[scores["split"] == "validation"]
    assert trial.value == pytest.approx(roc_auc_score(kept["label"], kept["score"]), abs=1e-9)


def test_the_test_period_chooses_nothing(tmp_path: Path, done: tuple[Search, list[Trial]]) -> None:
    """With the labels of the test period the wrong way round, trials and winner are the same; the judgement is not."""
    search, trials = done
    other = opened(write_project(tmp_path, calls(flip_after="2024-02-15")))
    others = other.run()
    assert told(others) == told(trials)
    assert other.best(others).number == search.best(trials).number
    assert other.study.name != search.study.name
    ours, theirs = judge(search, search.best(trials)), judge(other, other.best(others))
    assert ours.metrics.candidate["auc"] > 0.7
    assert theirs.metrics.candidate["auc"] < 0.4
    (first, second, *_), test = list(ours.lines(search, len(trials))), ours.metrics.candidate["auc"]
    assert first == (
        f"auc on validation {ours.trial.value:.4f}, on test {test:.4f}: {ours.trial.value - test:+.4f} of optimism"
    )
    assert second.startswith("the best of 12 looks better on validation than it is")


def test_the_winner_is_what_its_yaml_makes(folder: Path, done: tuple[Search, list[Trial]]) -> None:
    search, trials = done
    winner = judge(search, search.best(trials))
    file = folder / "conf" / "experiment" / "best.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(as_yaml(search.project, winner.trial))
    made = open_project(folder, "+experiment=best", "hardware.threads=1").run(results=("evaluation",))
    assert made["evaluation"].path == winner.evaluation
    assert parse(winner.trial.overrides)[1] == []
    file.unlink()


def test_the_same_search_is_gone_on_with(folder: Path, done: tuple[Search, list[Trial]]) -> None:
    _, trials = done
    again = opened(folder)
    assert told(again.run()) == told(trials)
    longer = opened(folder, *SPACE, "hardware.threads=1", "search.trials=14")
    assert told(longer.run())[:12] == told(trials)


def test_trials_are_listed_with_runs(folder: Path, done: tuple[Search, list[Trial]]) -> None:
    from click.testing import CliRunner

    from proml_kedro.commands.runs import make_group

    search, trials = done

    def asked(*arguments: str) -> str:
        result = CliRunner().invoke(make_group(), [*arguments, "--conf-source", str(folder / "conf")])
        assert result.exit_code == 0, result.output
        return result.stdout

    data = f"data_dir={folder / 'data'}"
    listed = json.loads(asked("list", data, "--json", "--limit", "1000"))
    ours = [one for one in listed if one["id"].startswith(f"{search.study.name}.")]
    figures = [one["metrics"] for one in reversed(ours)][: len(trials)]
    assert figures == [{"validation auc": one.value} for one in trials]
    assert not [one for one in json.loads(asked("list", data, "--json", "--no-trials")) if "." in one["id"]]
    assert [one["started"] for one in listed] == sorted((one["started"] for one in listed), reverse=True)
    assert f"validation auc: {trials[0].value}" in asked("show", f"{search.study.name}.1", data)
    first, last = f"{search.study.name}.2", f"{search.study.name}.3"
    assert "validation auc" in asked("diff", first, last, data)


def test_a_broken_trial_is_one_line(folder: Path) -> None:
    key = "model.components.trees.params.monotone_constraints"
    search = opened(folder, f"{key}={{call.minutes:1}},{{call.city:1}},{{call.nothing:1}}", "hardware.threads=1")
    trials = search.run()
    assert trials[0].state == "done"
    assert "failed" in {one.state for one in trials}
    lines = [line for line in table(trials, search.facts) if "failed" in line]
    assert len(lines) == sum(one.state == "failed" for one in trials)
    assert all("\n" not in line and "Traceback" not in line for line in lines)


def test_rolling_folds_choose_by_all_their_validation_parts(tmp_path: Path) -> None:
    """The figure is the mean of what each fold's own model comes to, each by a search of its own."""
    write_project(tmp_path)
    problem = tmp_path / "conf" / "problem" / "calls.yaml"
    text = problem.read_text()
    rolling = "split: {by: rolling, every: 1w, folds: 3, validation: 5d}"
    problem.write_text(text[: text.index("split:")] + rolling + "\n")
    search = opened(tmp_path, f"{DEPTH}=1,4", "hardware.threads=1")
    trials = search.run()
    folds = search.project.spec.problem.split.folds_until(calls()["at"].max().to_pydatetime())
    assert len(folds) == 3
    figures = []
    for number, fold in enumerate(folds):
        place = tmp_path / f"fold{number}"
        place.mkdir()
        write_project(place, calls()[calls()["at"] < fold.end])
        moments = f"validation_from: {fold.validation_from.isoformat()}, test_from: {fold.test_from.isoformat()}"
        (place / "conf" / "problem" / "calls.yaml").write_text(f"{text[: text.index('split:')]}split: {{{moments}}}\n")
        figures.append([found.value for found in opened(place, f"{DEPTH}=1,4", "hardware.threads=1").run()])
    for place, trial in enumerate(trials):
        assert trial.value == pytest.approx(sum(one[place] for one in figures) / 3, abs=1e-9)


STACK = """\
components:
  trees: {kind: xgboost, inputs: ["*"], num_boost_round: 20, early_stopping_rounds: 5, params: {max_depth: 3}}
  line: {kind: linear, inputs: ["*", trees.margin]}
score: line
"""


def test_trials_of_a_stack_share_what_does_not_vary_and_change_no_run(tmp_path: Path) -> None:
    """With the first component kept as a result, figures are those without; a run afterwards is that of no search."""
    key = "model.components.line.penalty"
    for name in ("first", "second"):
        place = tmp_path / name
        place.mkdir()
        (write_project(place) / "conf" / "model" / "stack.yaml").write_text(STACK)
    search = opened(tmp_path / "first", "model=stack", f"{key}=0.1,1,10,100", "hardware.threads=1")
    figures = [one.value for one in search.run()]
    kept = list((tmp_path / "first" / "data" / "store").rglob("*.made"))
    assert sum("component" in str(one) for one in kept) == 1
    for value, figure in zip((0.1, 1, 10, 100), figures, strict=True):
        alone = opened(
            tmp_path / "second", "model=stack", f"{key}=choice({value})", "hardware.threads=1", "reuse=false"
        )
        assert [one.value for one in alone.run()] == [figure]
    assert len(set(figures)) > 1
    metrics = [
        open_project(tmp_path / name, "model=stack", f"{key}=10", "hardware.threads=1", *more)
        .run(results=("evaluation",))["evaluation"]
        .json("metrics.json")["candidate"]
        for name, more in (("first", ()), ("second", ("reuse=false",)))
    ]
    assert metrics[0] == metrics[1]


def test_orders_are_judged_as_scikit_learn_judges_them(folder: Path) -> None:
    """Equal scores are put in order by the seed, where scikit-learn averages over orders: so does the mean of seeds."""
    import numpy as np
    import pyarrow.parquet as pq
    from sklearn.metrics import ndcg_score

    overrides = ("hardware.threads=1", "evaluation.ranking={within: day, metrics: [ndcg@10]}")
    trials = opened(folder, "seed=range(0,20)", "search.metric=ndcg@10", *overrides).run()
    run = open_project(folder, *overrides, "model.components.trees.refit=false")
    scores = pq.read_table(run.run(results=("evaluation",))["evaluation"].path / "scores.parquet").to_pandas()
    days = [day for _, day in scores[scores["split"] == "validation"].groupby("day") if day["label"].any()]
    mean = np.mean([ndcg_score([day["label"]], [day["score"]], k=10) for day in days])
    assert np.mean([one.value for one in trials]) == pytest.approx(mean, abs=1.5e-3)


def test_trials_end_early_where_that_is_asked_for(folder: Path) -> None:
    whole = opened(folder, f"{DEPTH}=range(1,8)", f"{RATE}=0.02,0.5", "hardware.threads=1")
    early = opened(folder, f"{DEPTH}=range(1,8)", f"{RATE}=0.02,0.5", "hardware.threads=1", "search.pruning=asha")
    values, trials = {one.overrides: one.value for one in whole.run()}, early.run()
    assert {one.state for one in trials} == {"done", "pruned"}
    assert all(one.value == values[one.overrides] for one in trials if one.state == "done")
    assert all(len(one.steps) in (10, 30) for one in trials if one.state == "pruned")


def begun(folder: Path, *overrides: str) -> int:
    """Search in another process, forked from this one, which has loaded all libraries; return its number."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            opened(folder, *overrides).run()
            os._exit(0)
        os._exit(1)
    return child


def test_a_search_that_is_killed_comes_to_the_same(folder: Path, done: tuple[Search, list[Trial]]) -> None:
    """Killed after a random number of trials, at a random moment of the next one, again and again."""
    search, trials = done
    overrides = (*SPACE, *KEPT, "search.name=killed")
    place, generator = folder / "data" / "searches" / "killed" / "trials", random.Random(4)
    for _ in range(30):
        before = len(list(place.glob("0*.json")))
        process = begun(folder, *overrides)
        while len(list(place.glob("0*.json"))) < min(before + 1, 12) and os.waitpid(process, os.WNOHANG)[0] == 0:
            time.sleep(0.005)
        time.sleep(generator.random() * 0.2)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    assert len(list(place.glob("0*.json"))) > 6
    again = opened(folder, *overrides)
    ended = again.run()
    assert told(ended) == told(trials)
    assert again.best(ended).number == search.best(trials).number


def test_two_processes_share_the_work(folder: Path) -> None:
    overrides = (f"{DEPTH}=range(1,7)", f"{RATE}=0.1,0.2,0.3", "hardware.threads=1", "search.name=shared")
    processes = [begun(folder, *overrides) for _ in range(2)]
    assert [os.waitpid(one, 0)[1] for one in processes] == [0, 0]
    trials = read_trials(folder / "data" / "searches" / "shared")
    assert len(trials) == 18
    assert len({one.overrides for one in trials}) == 18
    assert all(one.state == "done" for one in trials)
    facts = json.loads((folder / "data" / "searches" / "shared" / "search.json").read_text())
    assert facts["sampler"] == "grid"
