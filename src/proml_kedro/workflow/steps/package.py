"""Fitted model → bundle → Bento."""

from __future__ import annotations

from pathlib import Path

from proml_kedro.artifacts import Artifact
from proml_kedro.results import Metrics, TablesFacts, TrainingSetFacts
from proml_kedro.results.names import examples_file
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import model_code
from proml_kedro.workflow.run import Run


def write_bundle(run: Run, training_set: Artifact, trained_model: Artifact, evaluation: Artifact) -> Artifact:
    """Put the model, what it is, where it comes from and how good it is into one folder."""
    problem, model = run.spec.problem, run.spec.model

    def write(folder: Path) -> None:
        from proml_kedro.bundle import BundleContent
        from proml_kedro.bundle import write_bundle as write_files
        from proml_kedro.health.periods import History
        from proml_kedro.health.reference import Reference
        from proml_kedro.models.graph import ModelGraph

        graph = ModelGraph.load(model, run.input_types, trained_model.path, problem.label.task)
        classes = TrainingSetFacts.read(training_set.path).classes
        past = History(examples_file(training_set.path), graph, classes)

        write_files(
            folder,
            BundleContent(
                graph=graph,
                config=run.spec.model_dump(mode="json", exclude=recipes.NOT_IN_BUNDLES),
                training_set=examples_file(training_set.path),
                metrics=Metrics.read(evaluation.path).as_dict(),
                tables=_how_read(run, training_set),
                classes=classes,
                reference=Reference.of(past, run.spec.monitoring).model_dump_json(indent=1),
                lineage={"training_set": training_set.fingerprint, "trained_model": trained_model.fingerprint},
            ),
            name=f"{problem.name}-{model.name}",
            version=trained_model.fingerprint[:12],
            shown_at=run.places.shown("bundle"),
        )

    return run.store.build(
        recipes.bundle(run.spec),
        {"trained_model": trained_model, "training_set": training_set, "evaluation": evaluation},
        write,
        code=("bundle", "health", *model_code(model)),
    )


def _how_read(run: Run, training_set: Artifact) -> TablesFacts | None:
    """How the tables were read that a training set was made from; None where that is gone."""
    tables = run.store.made_of(training_set).get("tables")
    return TablesFacts.read(tables.path) if tables and run.store.holds(tables) else None


def build_bento(run: Run, bundle: Artifact) -> Artifact:
    """Build the Bento, then serve it on a free port and prove that it scores the golden rows as they were scored."""
    serving = run.spec.serving.model_copy(
        update={"challenger": None, "places": {}, "verify_key": None}
    )  # of where it is served

    def write(folder: Path) -> None:
        from proml_kedro.serving.bento import build_bento as build
        from proml_kedro.serving.prove import check_bento

        build(bundle.path, folder, serving)
        check_bento(folder)

    return run.store.build(
        f"{run.spec.problem.name}/bento",
        {"bundle": bundle, "serving": serving},
        write,
        code=("serving", "==bentoml", *model_code(run.spec.model)),
    )
