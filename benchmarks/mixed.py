"""Mixed-effects models beside others that can take thousands of entities, on crossed ratings.

The data are a twin of lme4's InstEval: 73,421 ratings of 1,128 lecturers by 2,972 students, drawn from known effects,
a tenth held out. All are fitted in turns, so that a busy machine slows all. Seconds are of processor time, one thread.
scikit-learn's ridge regression on indicators is always there; its penalty is chosen on the held-out rows, in its
favour. LightGBM, and lme4 by way of Rscript, take part where they are installed.

    python benchmarks/mixed.py                  # about a minute
    python benchmarks/mixed.py --rounds 7

Prints a table; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from proml_kedro.hardware import use
from proml_kedro.models.columns import Vocabulary
from proml_kedro.models.component import Array, Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec.hardware import HardwareSpec

ROWS, STUDENTS, LECTURERS = 73_421, 2_972, 1_128
NAMES = ("rating.student", "rating.lecturer", "rating.department", "rating.age", "rating.semester", "rating.service")
INPUTS = tuple(Input(name, "str") for name in NAMES)
ENTITIES, FIXED = NAMES[:2], NAMES[2:]
HARDWARE = HardwareSpec(threads=1)
PENALTIES = (1.0, 2.0, 4.0, 8.0)  # for the ridge regression

R_SCRIPT = """
suppressMessages(library(lme4)); folder <- commandArgs(TRUE)[1]
train <- read.csv(file.path(folder, "train.csv"), colClasses = c("numeric", rep("factor", 6)))
test <- read.csv(file.path(folder, "test.csv"), colClasses = c("numeric", rep("character", 6)))
start <- proc.time()
model <- glmer(y ~ department + age + semester + service + (1 | student) + (1 | lecturer), train, binomial, nAGQ = 0)
cpu <- sum((proc.time() - start)[1:2])
write(predict(model, test, type = "response", allow.new.levels = TRUE), file.path(folder, "p.txt"), 1)
cat(cpu)
"""


@dataclass
class Problem:
    """Ratings to learn from and ratings to judge by, and what the truth would score."""

    train: Examples
    test: Examples
    truth: Array


def make_problem(rows: int, seed: int = 0) -> Problem:
    """Students and lecturers rate and are rated unequally often, as in the original."""
    generator = np.random.default_rng(seed)

    def pick(count: int, shape: float) -> Array:
        weight = generator.gamma(shape, size=count) + 0.02
        return generator.choice(count, rows, p=weight / weight.sum())

    student, lecturer = pick(STUDENTS, 3.0), pick(LECTURERS, 1.2)
    codes = {
        "rating.student": student,
        "rating.lecturer": lecturer,
        "rating.department": generator.integers(0, 14, LECTURERS)[lecturer],
        "rating.age": generator.integers(0, 4, STUDENTS)[student],
        "rating.semester": generator.integers(0, 6, rows),
        "rating.service": generator.integers(0, 2, rows),
    }
    deviations = dict(zip(NAMES, (0.55, 0.85, 0.15, 0.1, 0.1, 0.1), strict=True))
    margin = np.full(rows, -0.3)
    for name, values in codes.items():
        margin += generator.normal(0, deviations[name], values.max() + 1)[values]
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    examples = Examples({name: np.char.mod("%d", values).astype(object) for name, values in codes.items()}, label)
    held_out = generator.random(rows) < 0.1
    return Problem(examples.take(~held_out), examples.take(held_out), 1 / (1 + np.exp(-margin[held_out])))


Fitted = tuple[float, Array, dict[str, float]]
"""CPU seconds of the fit, probabilities for the test rows, and facts."""


def fit_mixed(problem: Problem, method: str = "variational") -> Fitted:
    """The component as a run uses it, text columns in."""
    effects = [{"entity": name} for name in ENTITIES]
    config = {"kind": "mixed", "inputs": list(NAMES), "fixed": list(FIXED), "random_effects": effects}
    component = Mixed(MixedSpec.model_validate({**config, "method": method, "refit": False}), INPUTS)
    start = time.process_time()
    component.fit(problem.train, problem.test.take(slice(0, 0)), FitContext(HARDWARE, 0))
    cpu = time.process_time() - start
    facts = component.summary()
    assert facts["converged"]
    return cpu, component.score(problem.test.columns)["probability"], {"passes": facts["passes"]}


def fit_ridge(problem: Problem) -> Fitted:
    """Indicators of every category and entity, one penalty for all; encoding them is not counted."""
    from sklearn.linear_model import LogisticRegression

    vocabularies = {name: Vocabulary.of(problem.train.columns[name]) for name in NAMES}
    train, test = (_indicators(one, vocabularies) for one in (problem.train, problem.test))
    found = []
    for penalty in PENALTIES:
        start = time.process_time()
        model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(train, problem.train.label)
        found.append((time.process_time() - start, model.predict_proba(test)[:, 1], {"penalty": penalty}))
    return min(found, key=lambda one: float(log_loss(problem.test.label, one[1])))


def _indicators(examples: Examples, vocabularies: dict[str, Vocabulary]) -> object:
    from scipy import sparse

    blocks = []
    for name, vocabulary in vocabularies.items():
        codes = vocabulary.encode(examples.columns[name])
        rows = np.flatnonzero(np.isfinite(codes))
        shape = (len(examples), len(vocabulary))
        blocks.append(sparse.csr_matrix((np.ones(len(rows)), (rows, codes[rows].astype(int))), shape=shape))
    return sparse.hstack(blocks, format="csr")


def fit_lightgbm(problem: Problem) -> Fitted:
    """Categories as categories; stopped early on a tenth of the training rows."""
    import lightgbm

    vocabularies = {name: Vocabulary.of(problem.train.columns[name]) for name in NAMES}
    train, test = (
        np.column_stack([vocabularies[name].encode(one.columns[name]) for name in NAMES])
        for one in (problem.train, problem.test)
    )
    check = np.random.default_rng(1).random(len(train)) < 0.1
    label = problem.train.label
    start = time.process_time()
    columns = list(range(len(NAMES)))
    data = lightgbm.Dataset(train[~check], label[~check], categorical_feature=columns)
    params = {"objective": "binary", "learning_rate": 0.1, "num_leaves": 63, "num_threads": 1, "verbose": -1}
    stop = lightgbm.early_stopping(20, verbose=False)
    booster = lightgbm.train(params, data, 1000, [data.create_valid(train[check], label[check])], callbacks=[stop])
    return time.process_time() - start, np.asarray(booster.predict(test)), {"trees": booster.best_iteration}


def fit_lme4(problem: Problem) -> Fitted:
    """The reference implementation, at its quickest setting."""
    with tempfile.TemporaryDirectory() as folder:
        for part, examples in (("train", problem.train), ("test", problem.test)):
            with (Path(folder) / f"{part}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["y", *(name.partition(".")[2] for name in NAMES)])
                writer.writerows(zip(examples.label, *(examples.columns[name] for name in NAMES), strict=True))
        done = subprocess.run(
            ["Rscript", "-e", R_SCRIPT, folder], capture_output=True, text=True, check=True, timeout=3600
        )
        return float(done.stdout.split()[-1]), np.loadtxt(Path(folder) / "p.txt"), {}


def competitors() -> Iterator[tuple[str, Callable[[Problem], Fitted]]]:
    """Those that are installed."""
    yield "mixed", fit_mixed
    yield "mixed_pql", lambda problem: fit_mixed(problem, "pql")
    yield "ridge", fit_ridge
    if importlib.util.find_spec("lightgbm"):
        yield "lightgbm", fit_lightgbm
    has_r = shutil.which("Rscript")
    if has_r and not subprocess.run(["Rscript", "-e", "library(lme4)"], capture_output=True, check=False).returncode:
        yield "lme4", fit_lme4


def compile_seconds() -> dict[str, float]:
    """A small first fit in a new process: with nothing compiled yet, and again when the compiled code is cached."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        measured = []
        for _ in range(2):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, __file__, "--small"], env=environment, check=True)
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
            measured.append((after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall))
    (first, first_wall), (again, again_wall) = measured
    return {"compile_cpu": first - again, "process_first_wall": first_wall, "process_again_wall": again_wall}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="only fit a small problem once")
    options = parser.parse_args()
    if options.small:
        fit_mixed(make_problem(2_000))
        return
    with use(HARDWARE):
        compare(options.rounds)


def compare(rounds: int) -> None:
    """All in turns."""
    problem, larger = make_problem(ROWS), make_problem(10 * ROWS)
    fit_mixed(make_problem(2_000))  # compiles
    seconds: dict[str, list[float]] = {}
    last: dict[str, Fitted] = {}
    for turn in range(rounds):
        for name, fit in competitors():
            if turn == 0 or name != "lme4":  # minutes each
                last[name] = fit(problem)
                seconds.setdefault(name, []).append(last[name][0])
    figures: dict[str, float] = {"rows": len(problem.train), "rounds": rounds}
    print(f"{'':<12} {'CPU s':>8} {'logloss':>9} {'AUC':>8}  facts")
    for name, (_, probability, facts) in last.items():
        scores = log_loss(problem.test.label, probability), roc_auc_score(problem.test.label, probability)
        cpu = statistics.median(seconds[name])
        print(f"{name:<12} {cpu:>8.2f} {scores[0]:>9.5f} {scores[1]:>8.4f}  {facts}")
        figures |= {f"{name}_cpu": cpu, f"{name}_logloss": scores[0], f"{name}_auc": scores[1]}
    figures["truth_logloss"] = float(log_loss(problem.test.label, problem.truth))
    for name in set(last) - {"mixed", "mixed_pql"}:
        figures[f"{name}_over_mixed"] = figures[f"{name}_cpu"] / figures["mixed_cpu"]
    figures["mixed_cpu_10x_rows"], _, facts = fit_mixed(larger)
    figures |= compile_seconds()
    print(f"the truth scores {figures['truth_logloss']:.5f}")
    print(f"ten times the rows: {figures['mixed_cpu_10x_rows']:.2f} CPU s, {facts['passes']} passes")
    print(
        f"compiling: {figures['compile_cpu']:.1f} CPU s once; a process with one small fit takes "
        f"{figures['process_first_wall']:.1f} s of waiting the first time, {figures['process_again_wall']:.1f} s after"
    )
    print(json.dumps({name: round(value, 5) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
