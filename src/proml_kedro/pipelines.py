"""The steps of a run, wired into Kedro pipelines; what a step does is in :mod:`proml_kedro.workflow.steps`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from proml_kedro.workflow.plan import DEFAULT, PIPELINES, STEPS
from proml_kedro.workflow.steps import score_table


def create_pipelines() -> dict[str, Pipeline]:
    """Make every pipeline by name, and what is run when none is named; packaging makes the bundle too."""
    pipelines = {name: Pipeline([_node(result) for result in made]) for name, made in PIPELINES.items()}
    return {
        **pipelines,
        "package": pipelines["bundle"] + pipelines["package"],
        "score": Pipeline([Node(score_table, ["run"], None, name="score_table")]),
        "__default__": sum((pipelines[name] for name in DEFAULT), Pipeline([])),
    }


def _node(result: str) -> Node:
    step = STEPS[result]
    return Node(step.function, ["run", *step.inputs], result, name=step.name)
