"""Whether current data is still like the reference: verdict and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.errors import UserError
from proml_kedro.results import DriftResult
from proml_kedro.results.names import REPORTS, examples_file
from proml_kedro.workflow.code import TRAINING_SET, model_code, own_code_of
from proml_kedro.workflow.recipes import learned_from
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    from proml_kedro.health.periods import History
    from proml_kedro.models.component import Columns, Input
    from proml_kedro.spec import RunSpec


def check_drift(run: Run, training_set: Artifact, trained_model: Artifact) -> Artifact:
    """Check every input of the model and its score, and write the verdict beside Evidently's report.

    Raises:
        UserError: The file of current rows changed while it was read.
    """
    from proml_kedro.features.tables.given import as_file
    from proml_kedro.health.read_current import file_fingerprint
    from proml_kedro.health.report import show_in_ci

    spec, monitoring = run.spec, run.spec.monitoring
    path = run.base_path / monitoring.current.path if monitoring.current.path else None
    current = file_fingerprint(path) if path else None

    def write(folder: Path) -> None:
        _write(run, training_set, trained_model, path, folder)
        if path and file_fingerprint(path) != current:
            raise UserError.at("monitoring.current.path", f"'{path}' changed while it was read; run again")

    drift = run.store.build(
        f"{spec.problem.name}/{spec.model.name}/drift",
        {
            "training_set": run.store.part(training_set, learned_from(spec, spec.model), TRAINING_SET),
            "model": trained_model,
            "monitoring": monitoring,
            "current": current,
            "dialect": as_file(spec.problem.tables[spec.problem.examples.table], str(path)) if path else None,
            "on_demand": {name: view for name, view in spec.features.views.items() if view.is_on_demand},
            "seed": spec.seed,
            **own_code_of(monitoring),
        },
        write,
        code=("health", "workflow/steps/monitor.py", "==evidently", *model_code(spec.model)),
    )
    show_in_ci(DriftResult.read(drift.path), f"{spec.problem.name} · {spec.model.name}")
    return drift


def _write(run: Run, training_set: Artifact, trained_model: Artifact, current_file: Path | None, folder: Path) -> None:
    from proml_kedro.health.calibrate import calibrate
    from proml_kedro.health.drift import check_drift as check
    from proml_kedro.health.evidently_report import write_report
    from proml_kedro.health.periods import History
    from proml_kedro.health.report import write_result
    from proml_kedro.models.graph import ModelGraph
    from proml_kedro.results import TrainingSetFacts

    spec, monitoring = run.spec, run.spec.monitoring
    graph = ModelGraph.load(spec.model, run.input_types, trained_model.path, spec.problem.label.task)
    classes = TrainingSetFacts.read(training_set.path).classes
    past = History(examples_file(training_set.path), graph, classes)
    given = None
    if current_file:
        given = _current(current_file, graph.inputs, past, run.spec)
    reference, current = past.sides(monitoring, given)
    movements = calibrate(past.periods(monitoring), past.inputs, monitoring.gate)
    result = check(reference, current, past.inputs, monitoring.gate, movements)
    result = replace(result, notices=(*past.notices, *result.notices))
    write_result(folder, result, f"{spec.problem.name} · {spec.model.name}")
    write_report(folder / REPORTS["drift"], result, reference, current, past.inputs, monitoring.report_rows, spec.seed)


def _current(file: Path, inputs: Sequence[Input], past: History, spec: RunSpec) -> Columns:
    """Read current rows of a file, with its own score where it has one, and with its label."""
    from proml_kedro.health.read_current import read_current

    like = spec.problem.tables[spec.problem.examples.table]
    found = read_current(file, [*inputs, *past.given], spec.hardware, spec.features, like)
    if not found.keys() & {one.name for one in inputs}:
        message = f"'{file}' has none of the model's features, such as '{inputs[0].name}'"
        raise UserError.at("monitoring.current.path", message)
    return past.with_score(found)
