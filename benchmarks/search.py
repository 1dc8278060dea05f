"""What a search costs beside the training that it consists of, and how soon its first tree grows.

    python benchmarks/search.py                      # 60 trials of trees on the flights
    python benchmarks/search.py --trials 12

``overhead_ratio`` is CPU seconds of a search, in one process and without the first imports, over those of one
preparation (tables, features, training set, decoded rows and their quantiles) and of XGBoost alone, which trains the
same trials on matrices that are made once, predicts the validation part and computes the AUC by scikit-learn.
``launch_ratio`` is CPU seconds of ``kedro sweep`` until its first tree, on a training set that is there, over
those of importing the libraries that it needs and of ``kedro --version``.
``history_ms`` is milliseconds to read the trials of a search of 1,000.

Prints a table, and last one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import xgboost
from sklearn.metrics import roc_auc_score

from proml_kedro import open_project
from proml_kedro.models.columns import learn_vocabularies, to_matrix
from proml_kedro.models.graph import ModelGraph
from proml_kedro.results.names import examples_file
from proml_kedro.results.trial import SearchFacts, Trial, read_trials
from proml_kedro.search import open_search
from proml_kedro.search.study import Study
from proml_kedro.workflow import make
from proml_kedro.workflow.steps.train import read_parts

ROOT = Path(__file__).resolve().parents[1]
TREES = "model.components.trees"
SPACE = (
    f"{TREES}.params.max_depth=range(4,9)",
    f"{TREES}.params.learning_rate=tag(log,interval(0.05,0.3))",
    f"{TREES}.params.min_child_weight=tag(log,interval(1,100))",
    f"{TREES}.params.subsample=interval(0.6,1)",
    f"{TREES}.params.colsample_bytree=interval(0.5,1)",
    f"{TREES}.params.reg_lambda=tag(log,interval(0.5,20))",
)
IMPORTS = "import hydra, kedro.framework.cli, numpy, pydantic, pyarrow.parquet, xgboost, sklearn.linear_model, optuna"


def cpu() -> float:
    """CPU seconds of this process and its children so far."""
    return sum(
        one.ru_utime + one.ru_stime for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def searched(data: Path, trials: int) -> tuple[float, list[Trial]]:
    """CPU seconds of a search, and what it tried."""
    project = open_project(ROOT, *SPACE, "search.sampler=random", f"search.trials={trials}", f"data_dir={data}")
    before = cpu()
    found = open_search(project).run()
    return cpu() - before, found


def bare(data: Path, trials: Sequence[Trial]) -> tuple[float, float]:
    """CPU seconds of one preparation, and of XGBoost alone for the same trials."""
    before = cpu()
    project = open_project(ROOT, f"data_dir={data}")
    run = project.as_run()
    rows = examples_file(make(run, "training_set")["training_set"].path)
    graph = ModelGraph(run.spec.model, run.input_types)
    inputs, parts = graph.components["trees"].inputs, read_parts(run, rows, run.spec.model, graph.inputs)
    known = learn_vocabularies(parts.train.columns, inputs)
    settings: dict[str, Any] = {
        "feature_names": [one.name for one in inputs],
        "feature_types": ["c" if one.is_categorical else "q" for one in inputs],
        "enable_categorical": True,
        "nthread": run.spec.hardware.threads,
    }
    matrices = [to_matrix(one.columns, inputs, known) for one in (parts.train, parts.validation)]
    train = xgboost.QuantileDMatrix(matrices[0], parts.train.label, **settings)
    validation = xgboost.QuantileDMatrix(matrices[1], parts.validation.label, ref=train, **settings)
    prepared = cpu()
    spec = run.spec.model.components["trees"]
    fixed = spec.params.model_dump(exclude_none=True)  # type: ignore[attr-defined]
    for trial in trials:
        varied = {key.rpartition(".")[2]: value for key, value in trial.point.items()}
        varied["max_depth"] = int(varied["max_depth"]) + 4  # the position in the range
        params = {"objective": "binary:logistic", "eval_metric": "logloss", "nthread": run.spec.hardware.threads}
        booster = xgboost.train(
            {**fixed, **params, **varied},
            train,
            spec.num_boost_round,  # type: ignore[attr-defined]
            evals=[(validation, "validation")],
            callbacks=[xgboost.callback.EarlyStopping(rounds=spec.early_stopping_rounds, save_best=True)],  # type: ignore[attr-defined]
            verbose_eval=False,
        )
        auc = roc_auc_score(parts.validation.label, booster.inplace_predict(matrices[1]))
        if abs(auc - (trial.value or 0)) > 0.01:
            raise RuntimeError(f"XGBoost alone comes to {auc:.4f}, trial {trial.number} to {trial.value:.4f}")
    return prepared - before, cpu() - prepared


def launched(data: Path) -> tuple[float, float]:
    """CPU seconds of a search of one tree, and of what it cannot do without."""
    one_tree = [f"{TREES}.num_boost_round=1", f"{TREES}.early_stopping_rounds=0", f"data_dir={data}", "seed=1,2"]
    kedro = str(Path(sys.executable).with_name("kedro"))
    script = (
        "import sys; from proml_kedro import open_project; from proml_kedro.search import open_search; "
        "search = open_search(open_project(*sys.argv[1:])); "
        "search.study.end(search._measure(search.study.begin(search._next)))"
    )
    command = [sys.executable, "-c", script, str(ROOT), *one_tree]
    of_command(command)  # the training set is there from now on
    ours = median(
        of_command([sys.executable, "-c", script, str(ROOT), *one_tree, f"search.name=n{number}"])
        for number in range(3)
    )
    theirs = median(of_command([sys.executable, "-c", IMPORTS]) + of_command([kedro, "--version"]) for _ in range(3))
    return ours, theirs


def of_command(command: Sequence[str]) -> float:
    """CPU seconds of a command."""
    before = cpu()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    return cpu() - before


def history(folder: Path, count: int = 1000) -> float:
    """Milliseconds to read the trials of a search."""
    facts = SearchFacts(
        problem="p",
        model="m",
        metric="auc",
        higher_is_better=True,
        space=SPACE,
        overrides=(),
        sampler="random",
        seed=0,
        made_from="",
    )
    study = Study(folder, "history", facts)
    values = np.random.default_rng(0).random(count)
    for number, value in enumerate(values, 1):
        study.end(Trial(number=number, point={"a": value}, overrides=(f"a={value}",), state="done", value=value))
    took = []
    for _ in range(5):
        began = time.perf_counter()
        read_trials(study.folder)
        took.append(time.perf_counter() - began)
    return 1000 * median(took)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as name:
        first = Path(name) / "first"
        searched(first, 1)  # imports
        ours, found = searched(Path(name) / "searched", trials)
        preparation, training = bare(Path(name) / "bare", found)
        launch, imports = launched(first)
        listing = history(Path(name))
    print(f"{trials} trials: {ours:.1f} CPU-s; preparation {preparation:.1f}, XGBoost alone {training:.1f}")
    print(f"first tree after {launch:.2f} CPU-s; imports and kedro --version {imports:.2f}")
    print(f"1,000 trials are read in {listing:.0f} ms")
    figures = {
        "overhead_ratio": round(ours / (preparation + training), 3),
        "launch_ratio": round(launch / imports, 3),
        "history_ms": round(listing, 1),
        "autogluon_auc": None,
        "ours_auc": None,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
