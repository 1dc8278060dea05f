"""Mixed-effects models beside others that can take thousands of entities, on crossed ratings.

The data are a twin of lme4's InstEval: 73,421 ratings of 1,128 lecturers by 2,972 students, drawn from known effects,
a tenth held out; and a second one in which students and lecturers have tastes as well, an interaction of rank 2. All
are fitted in turns, so that a busy machine slows all. Seconds are of processor time, one thread. scikit-learn's ridge
regression on indicators is always there; its penalty is chosen on the held-out rows, in its favour. LightGBM, GPBoost
and myFM take part where they are installed (`pip install 'proml_kedro[benchmarks]'`), lme4 by way of Rscript where it
is (`apt-get install r-cran-lme4`).

    python benchmarks/mixed.py                  # some minutes
    python benchmarks/mixed.py --rounds 7
    python benchmarks/mixed.py --insteval       # the original ratings, which come with lme4
    python benchmarks/mixed.py --lookups        # 10,000,000 entities in a bundle: loading, and looking them up

Prints tables; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.hardware import use
from proml_kedro.models.columns import Vocabulary
from proml_kedro.models.component import Array, Examples, FitContext, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.encoding import Levels, Scale
from proml_kedro.models.mixed.fitted import FittedEffect, FittedModel
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


def make_problem(rows: int, seed: int = 0, tastes: float = 0.0) -> Problem:
    """Students and lecturers rate and are rated unequally often, as in the original.

    Args:
        rows: How many ratings.
        seed: Of the draw.
        tastes: Standard deviation of an interaction of rank 2 between students and lecturers.
    """
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
    if tastes:
        student_tastes, lecturer_tastes = (generator.normal(size=(count, 2)) for count in (STUDENTS, LECTURERS))
        margin += tastes / 2**0.5 * (student_tastes[student] * lecturer_tastes[lecturer]).sum(1)
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    examples = Examples({name: np.char.mod("%d", values).astype(object) for name, values in codes.items()}, label)
    held_out = generator.random(rows) < 0.1
    return Problem(examples.take(~held_out), examples.take(held_out), 1 / (1 + np.exp(-margin[held_out])))


Fitted = tuple[float, Array, dict[str, float]]
"""CPU seconds of the fit, probabilities for the test rows, and facts."""


def read_insteval() -> Problem:
    """The original: whether a rating is at least 4, from the data set in R's lme4."""
    script = "suppressMessages(library(lme4)); write.csv(InstEval, stdout(), row.names = FALSE, quote = FALSE)"
    done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=True, timeout=600)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    columns = dict(zip(NAMES, ("s", "d", "dept", "studage", "lectage", "service"), strict=True))
    label = np.array([float(one["y"]) >= 4 for one in rows], np.float32)
    examples = Examples(
        {name: np.array([one[column] for one in rows], object) for name, column in columns.items()}, label
    )
    held_out = np.random.default_rng(0).random(len(rows)) < 0.2
    return Problem(examples.take(~held_out), examples.take(held_out), np.full(held_out.sum(), label.mean()))


COURSE = ("rating.lecturer", "rating.age", "rating.semester", "rating.service")
"""What tells courses of one lecturer apart."""


def fit_mixed(
    problem: Problem,
    method: str = "variational",
    rank: int = 0,
    course: bool = False,
    fields: tuple[str, ...] = ENTITIES,
) -> Fitted:
    """The component as a run uses it, text columns in."""
    effects: list[dict[str, object]] = [{"entity": name} for name in ENTITIES]
    if rank:
        effects.append({"kind": "factors", "entity": list(fields), "rank": rank})
    if course:
        effects.append({"entity": list(COURSE)})
    config = {"kind": "mixed", "inputs": list(NAMES), "fixed": list(FIXED), "random_effects": effects}
    component = Mixed(MixedSpec.model_validate({**config, "method": method, "refit": False}), INPUTS)
    start = time.process_time()
    component.fit(problem.train, problem.test.take(slice(0, 0)), FitContext(HARDWARE, 0))
    cpu = time.process_time() - start
    facts = component.summary()
    said = {"passes": facts["passes"], "converged": facts["converged"]}
    return cpu, component.score(problem.test.columns)["probability"], said


def fit_ridge(problem: Problem) -> Fitted:
    """Indicators of every category and entity, one penalty for all; encoding them is not counted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    vocabularies = {name: Vocabulary.of(problem.train.columns[name]) for name in NAMES}
    train, test = (_indicators(one, vocabularies) for one in (problem.train, problem.test))
    found = []
    for penalty in PENALTIES:
        start = time.process_time()
        model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(train, problem.train.label)
        found.append((time.process_time() - start, model.predict_proba(test)[:, 1], {"penalty": penalty}))
    return min(found, key=lambda one: float(log_loss(problem.test.label, one[1])))


def _indicators(examples: Examples, vocabularies: dict[str, Vocabulary]) -> Any:
    from scipy import sparse

    blocks = []
    for name, vocabulary in vocabularies.items():
        codes = vocabulary.encode(examples.columns[name])
        rows = np.flatnonzero(np.isfinite(codes))
        shape = (len(examples), len(vocabulary))
        blocks.append(sparse.csr_matrix((np.ones(len(rows)), (rows, codes[rows].astype(int))), shape=shape))
    return sparse.hstack(blocks, format="csr")


LIGHTGBM = {"learning_rate": 0.1, "num_leaves": 63}
MOST_ACCURATE_LIGHTGBM = {"learning_rate": 0.01, "num_leaves": 7}
"""Of a dozen settings the best on the held-out rows of the first problem, in its favour."""


def fit_lightgbm(problem: Problem, settings: dict[str, float]) -> Fitted:
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
    params = {"objective": "binary", "num_threads": 1, "verbose": -1, **settings}
    stop = lightgbm.early_stopping(20, verbose=False)
    booster = lightgbm.train(params, data, 3000, [data.create_valid(train[check], label[check])], callbacks=[stop])
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


def fit_gpboost(problem: Problem) -> Fitted:
    """A generalized linear mixed model by Laplace's approximation; category indicators as fixed effects."""
    import gpboost

    vocabularies = {name: Vocabulary.of(problem.train.columns[name]) for name in NAMES}
    fixed = {name: vocabularies[name] for name in FIXED}
    design, fresh = (
        np.column_stack([np.ones(len(one)), _indicators(one, fixed).toarray()]) for one in (problem.train, problem.test)
    )
    entities, unseen = (
        np.column_stack([one.columns[name] for name in ENTITIES]) for one in (problem.train, problem.test)
    )
    start = time.process_time()
    model = gpboost.GPModel(group_data=entities, likelihood="bernoulli_logit", num_parallel_threads=1)
    model.fit(y=problem.train.label.astype(float), X=design)
    cpu = time.process_time() - start
    said = model.predict(group_data_pred=unseen, X_pred=fresh, predict_response=True)
    return cpu, np.asarray(said["mu"]), {}


def fit_myfm(problem: Problem, rank: int = 8) -> Fitted:
    """A factorisation machine over all categories, by Gibbs sampling."""
    with warnings.catch_warnings(action="ignore"):  # it asks setuptools for its version in a way that will be gone
        import myfm

    vocabularies = {name: Vocabulary.of(problem.train.columns[name]) for name in NAMES}
    train, test = (_indicators(one, vocabularies) for one in (problem.train, problem.test))
    shapes = [len(vocabulary) for vocabulary in vocabularies.values()]
    start = time.process_time()
    model = myfm.MyFMClassifier(rank=rank, random_seed=0)
    with contextlib.redirect_stderr(io.StringIO()):  # it draws a progress bar
        model.fit(train, problem.train.label > 0, n_iter=300, n_kept_samples=250, group_shapes=shapes)
    return time.process_time() - start, model.predict_proba(test), {"rank": rank}


def competitors() -> Iterator[tuple[str, Callable[[Problem], Fitted]]]:
    """Those that are installed."""
    yield "mixed", fit_mixed
    yield "mixed_laplace", lambda problem: fit_mixed(problem, "laplace")
    yield "mixed_pql", lambda problem: fit_mixed(problem, "pql")
    yield "ridge", fit_ridge
    if importlib.util.find_spec("lightgbm"):
        yield "lightgbm", lambda problem: fit_lightgbm(problem, LIGHTGBM)
        yield "lightgbm_best", lambda problem: fit_lightgbm(problem, MOST_ACCURATE_LIGHTGBM)
    if importlib.util.find_spec("gpboost"):
        yield "gpboost", fit_gpboost
    if importlib.util.find_spec("myfm"):
        yield "myfm", fit_myfm
    has_r = shutil.which("Rscript")
    if has_r and not subprocess.run(["Rscript", "-e", "library(lme4)"], capture_output=True, check=False).returncode:
        yield "lme4", fit_lme4


def with_tastes() -> Iterator[tuple[str, Callable[[Problem], Fitted]]]:
    """Who is tried on the second problem."""
    yield "mixed", fit_mixed
    yield "mixed_factors", lambda problem: fit_mixed(problem, rank=8)
    if importlib.util.find_spec("myfm"):
        yield "myfm", fit_myfm


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
    parser.add_argument("--insteval", action="store_true", help="the ratings that come with lme4")
    parser.add_argument("--lookups", action="store_true", help="only look entities up in a large model")
    options = parser.parse_args()
    if options.small:
        fit_mixed(make_problem(2_000))
        return
    if options.lookups:
        look_up()
        return
    with use(HARDWARE):
        if options.insteval:
            compare_insteval(options.rounds)
        else:
            compare(options.rounds)


SLOW = ("lme4", "gpboost")  # minutes each: measured once


def compare(rounds: int) -> None:
    """All in turns."""
    from sklearn.metrics import log_loss

    fit_mixed(make_problem(2_000), rank=2)  # compiles
    figures: dict[str, float] = {"rounds": rounds}
    problem = make_problem(ROWS)
    figures |= in_turns(problem, dict(competitors()), rounds, "")
    figures["truth_logloss"] = float(log_loss(problem.test.label, problem.truth))
    print(f"the truth scores {figures['truth_logloss']:.5f}\n\nwith tastes:")
    tasteful = make_problem(ROWS, tastes=1.0)
    figures |= in_turns(tasteful, dict(with_tastes()), max(1, rounds // 2), "tastes_")
    figures["mixed_cpu_10x_rows"], _, facts = fit_mixed(make_problem(10 * ROWS))
    figures |= compile_seconds()
    print(f"\nten times the rows: {figures['mixed_cpu_10x_rows']:.2f} CPU s, {facts['passes']} passes")
    print(
        f"compiling: {figures['compile_cpu']:.1f} CPU s once; a process with one small fit takes "
        f"{figures['process_first_wall']:.1f} s of waiting the first time, {figures['process_again_wall']:.1f} s after"
    )
    print(json.dumps({name: round(value, 5) for name, value in figures.items()}))


def compare_insteval(rounds: int) -> None:
    """The original ratings; an effect of the course, and factors, besides."""
    fit_mixed(make_problem(2_000), rank=2)  # compiles
    fits = dict(competitors())
    fits["mixed_course"] = lambda problem: fit_mixed(problem, course=True)
    fits["mixed_factors"] = lambda problem: fit_mixed(problem, rank=8, course=True, fields=NAMES)
    figures = in_turns(read_insteval(), fits, rounds, "")
    print(json.dumps({name: round(value, 5) for name, value in figures.items()}))


def in_turns(
    problem: Problem, fits: dict[str, Callable[[Problem], Fitted]], rounds: int, prefix: str
) -> dict[str, float]:
    """Fit all of them ``rounds`` times, one after the other, and print a table."""
    from sklearn.metrics import log_loss, roc_auc_score

    seconds: dict[str, list[float]] = {}
    last: dict[str, Fitted] = {}
    for turn in range(rounds):
        for name, fit in fits.items():
            if turn == 0 or name not in SLOW:
                last[name] = fit(problem)
                seconds.setdefault(name, []).append(last[name][0])
    figures: dict[str, float] = {}
    ours = statistics.median(seconds["mixed"])
    print(f"{'':<14} {'CPU s':>8} {'times ours':>10} {'logloss':>9} {'AUC':>8}  facts")
    for name, (_, probability, facts) in last.items():
        scores = log_loss(problem.test.label, probability), roc_auc_score(problem.test.label, probability)
        cpu = statistics.median(seconds[name])
        print(f"{name:<14} {cpu:>8.2f} {cpu / ours:>10.1f} {scores[0]:>9.5f} {scores[1]:>8.4f}  {facts}")
        figures |= {f"{prefix}{name}_cpu": cpu, f"{prefix}{name}_logloss": scores[0]}
        figures |= {f"{prefix}{name}_auc": scores[1], f"{prefix}{name}_over_mixed": cpu / ours}
    return figures


def look_up(entities: int = 10_000_000) -> None:
    """Load a model of so many entities and score requests: one member, and a batch, all drawn at random."""
    inputs = (Input("member", "str"), Input("job.pay", "float"), Input("job.age", "float"))
    effect = {"entity": "member", "features": ["intercept", "job.pay", "job.age"]}
    spec = MixedSpec.model_validate(
        {"kind": "mixed", "inputs": [one.name for one in inputs], "random_effects": [effect]}
    )
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        _write_entities(Path(folder), spec, inputs, entities, generator)
        start = time.perf_counter()
        model = Mixed.load(spec, inputs, Path(folder))
        figures: dict[str, float] = {"entities": entities, "load_ms": 1e3 * (time.perf_counter() - start)}
        for rows in (1, 100, 10_000):
            walls = []
            for _ in range(500 if rows < 1000 else 10):
                drawn = generator.integers(0, int(1.05 * entities), rows)  # one in twenty is not known
                numbers = generator.normal(size=(2, rows)).astype(np.float32)
                columns = {"member": np.char.mod("m%d", drawn).astype(object)}
                columns |= {"job.pay": numbers[0], "job.age": numbers[1]}
                start = time.perf_counter()
                model.score(columns)
                walls.append(1e6 * (time.perf_counter() - start))
            figures |= {f"score_{rows}_us": statistics.median(walls)}
    print(f"loading {entities:,} entities: {figures['load_ms']:.1f} ms")
    for rows in (1, 100, 10_000):
        micro = figures[f"score_{rows}_us"]
        print(f"scoring {rows:>6,} rows: {micro:,.0f} us of waiting, {micro / rows:.1f} us a row")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _write_entities(
    folder: Path, spec: MixedSpec, inputs: tuple[Input, ...], entities: int, generator: np.random.Generator
) -> None:
    """Save a component with random effects of so many entities, which none was ever fitted for."""
    model = Mixed(spec, inputs)
    scales = {one.name: Scale(0.0, 1.0, False, False) for one in inputs[1:]}
    names = np.sort(np.char.add(b"m", np.arange(entities).astype(f"S{len(str(entities))}")))
    model._terms.take_over(scales, Levels(names))
    means = generator.normal(size=(entities, 3)).astype(np.float32)
    covariances = np.broadcast_to(0.1 * np.eye(3, dtype=np.float32), (entities, 3, 3))
    effect = FittedEffect(means, covariances, np.ones(entities, np.float32), np.eye(3))
    model._model = FittedModel(effects=[effect])
    model.save(folder)


if __name__ == "__main__":
    main()
