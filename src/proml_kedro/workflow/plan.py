"""Which step makes which result from which others, and the pipelines that users call by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from graphlib import TopologicalSorter

from proml_kedro.artifacts import Artifact
from proml_kedro.workflow import steps
from proml_kedro.workflow.recording import Recording
from proml_kedro.workflow.run import Run


@dataclass(frozen=True)
class Step:
    """How a result is made.

    Attributes:
        name: What users call it, in `kedro run --nodes`.
        function: Takes the run, and one artefact for each input.
        inputs: The results that it needs, by name.
    """

    name: str
    function: Callable[..., Artifact]
    inputs: tuple[str, ...] = ()


STEPS: Mapping[str, Step] = {
    "tables": Step("ingest_tables", steps.ingest_tables),
    "feature_tables": Step("compute_features", steps.compute_features, ("tables",)),
    "training_set": Step("build_training_set", steps.build_training_set, ("tables", "feature_tables")),
    "trained_model": Step("train_model", steps.train_model, ("training_set",)),
    "trained_baseline": Step("train_baseline", steps.train_baseline, ("training_set",)),
    "evaluation": Step("evaluate", steps.evaluate_model, ("training_set", "trained_model", "trained_baseline")),
    "bundle": Step("write_bundle", steps.write_bundle, ("training_set", "trained_model", "evaluation")),
    "bento": Step("build_bento", steps.build_bento, ("bundle",)),
    "online_values": Step("materialize_features", steps.materialize_features, ("training_set", "feature_tables")),
    "consistency": Step(
        "check_online_values", steps.check_online_values, ("online_values", "training_set", "feature_tables")
    ),
    "drift": Step("check_drift", steps.check_drift, ("training_set", "trained_model")),
}
"""The step of each result, by the name of the result in the catalog."""

PIPELINES: Mapping[str, tuple[str, ...]] = {
    "features": ("tables", "feature_tables", "training_set"),
    "train": ("trained_model", "trained_baseline"),
    "evaluate": ("evaluation",),
    "bundle": ("bundle",),
    "package": ("bento",),
    "materialize": ("online_values", "consistency"),
    "monitor": ("drift",),
}
"""The results that each pipeline makes, in the order in which they need each other."""

DEFAULT = ("features", "train", "evaluate", "bundle", "monitor")
"""The pipelines of `kedro run` without a choice; what it takes to serve a model waits until somebody wants to."""

SERVED = ("materialize", "package")
"""The pipelines behind it, after which a model can be served."""


def make(run: Run, *results: str, recording: Recording | None = None) -> dict[str, Artifact]:
    """Make results, and whatever they are made from, without Kedro.

    Libraries are held to the hardware's threads from here on, in this process and its children.

    Args:
        run: The run.
        results: Names of results, as in :data:`STEPS`.
        recording: Record of the run, to which each step is added.

    Returns:
        All that was made or taken over, by name.

    Raises:
        KeyError: A name stands for no result.
        UserError: A device is missing, nothing can be written, or what the steps raise.
    """
    run.prepare()
    made: dict[str, Artifact] = {}
    for name in needed_for(results):
        step = STEPS[name]
        with recording.step(step.name) if recording else nullcontext():
            made[name] = step.function(run, *(made[one] for one in step.inputs))
        if recording:
            recording.results[name] = made[name]
    return made


def needed_for(results: Iterable[str]) -> list[str]:
    """List the results and all that they are made from, each behind what it needs."""
    needs: dict[str, tuple[str, ...]] = {}
    waiting = list(results)
    while waiting:
        name = waiting.pop()
        if name not in needs:
            needs[name] = STEPS[name].inputs
            waiting += needs[name]
    return list(TopologicalSorter(needs).static_order())


def pipelines_for(results: Iterable[str]) -> list[str]:
    """List the pipelines that make these results and what they need, in the order of a run."""
    needed = set(needed_for(results))
    return [name for name, made in PIPELINES.items() if needed & set(made)]
