"""A model: components in a graph, fitted in order, each on what the ones before it say."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.component import Array, Columns, Component, Examples, Explanation, FitContext, Input, RowSource
from proml_kedro.models.curve import Curve
from proml_kedro.models.graph.fit import GraphFit
from proml_kedro.models.graph.fitted_step import FittedStep, KeepsSteps
from proml_kedro.models.graph.plan import Plan
from proml_kedro.models.graph.score import Executor, InProcess, run_plan, score_rows
from proml_kedro.models.kinds import component_of
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.model import ModelSpec, score_output
from proml_kedro.spec.problem import Task


class ModelGraph:
    """The components of a model, in an order in which each comes after those it needs.

    Args:
        spec: The model, as declared.
        dtypes: The features and entities there are, to their types.
        task: What sort of label is predicted.

    Attributes:
        plan: The components as steps.
        components: By name, in the order of the steps.
        inputs: The features and entities that the model reads.
        score_output: The output of :attr:`spec`'s ``score`` that is the model's.
        executor: Runs the steps of a fitted model: in this process, unless somebody puts another one here.

    Raises:
        UserError: The component that gives the model's score does not have that output, or a component refuses its
            configuration.
    """

    def __init__(self, spec: ModelSpec, dtypes: Mapping[str, Dtype], task: Task = "binary") -> None:
        self.spec = spec
        self.task = task
        self.score_output = score_output(task)
        self.plan = Plan.of(spec, dtypes, task)
        self.components: dict[str, Component] = {step.component: self._new(step.component) for step in self.plan.steps}
        self.inputs: tuple[Input, ...] = self.plan.inputs
        self.executor: Executor = InProcess(self.components)
        self._fitted: Mapping[str, FittedStep] = {}
        self._scoring = self.plan.until([self.plan.score])
        self._before = self.plan.until([one.name for one in self.plan.step(spec.score).reads])

    def _new(self, name: str) -> Component:
        spec = self.spec.components[name]
        try:
            component = component_of(spec.kind)(spec, self.plan.step(name).reads)
        except UserError as error:  # a component does not know where it stands
            here = f"model.components.{name}"
            raise UserError(*(replace(one, key=f"{here}.{one.key}") for one in error.mistakes)) from error
        component.task = self.task
        return component

    def fit(
        self,
        train: Examples,
        validation: Examples,
        context: FitContext,
        groups: Array | None = None,
        previous: ModelGraph | None = None,
        keeper: KeepsSteps | None = None,
    ) -> None:
        """Fit every component that learns; see :class:`~proml_kedro.models.graph.fit.GraphFit`.

        Args:
            train: To learn from; :attr:`inputs` are its columns.
            validation: To choose by.
            context: Hardware and seed; its ``key`` is the model's place in the configuration.
            groups: Shape (n,); rows of ``train`` with equal values are never split between folds.
            previous: An earlier model; a component starts from the one of its name and kind.
            keeper: Keeps components that are fitted for later fits.
        """
        training = self.spec.training
        earlier = previous.components if previous else {}
        fit = GraphFit(
            self.plan,
            self.components,
            self._new,
            training.cross_fit.folds,
            groups,
            earlier,
            keeper,
            training.locked,
        )
        self._fitted = fit.run(train, validation, replace(context, task=self.task))

    def outputs(self, columns: Columns) -> dict[str, Array]:
        """Compute every component's outputs, ``component.output`` to an array of n rows."""
        return run_plan(self.plan, columns, self.executor)

    def inputs_of(self, component: str, columns: Columns) -> Columns:
        """Compute what a component reads: features, and what the components before it say.

        Args:
            component: Name of the component.
            columns: :attr:`inputs`.
        """
        reads = self.plan.step(component).reads
        before = self.plan.until([one.name for one in reads if one.name not in columns])
        known = {**columns, **run_plan(before, columns, self.executor)}
        return {one.name: known[one.name] for one in reads}

    def score(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Compute the model's score, shape (n,): the probability, or for other tasks the mean of what is predicted.

        Where the label has several classes it is the probability of each; shape (n, classes).
        """
        made = run_plan(self._scoring, columns, self.executor)
        return np.asarray(made[self.plan.score], np.float64)

    def explain(self, columns: Columns) -> Explanation | None:
        """Divide the margin of the component that gives the score among what it reads; None when it has no way to."""
        component = self.components[self.spec.score]
        known = {**columns, **run_plan(self._before, columns, self.executor)}
        return component.explain({one.name: known[one.name] for one in component.inputs})

    def score_rows(self, source: RowSource) -> npt.NDArray[np.float64]:
        """Compute the model's score for all rows of a source, as :meth:`score`; some rows are in memory at a time."""
        return np.asarray(score_rows(self._scoring, source, self.executor), np.float64)

    def importance(self) -> dict[str, float]:
        """Return the share of each input in what the component that gives the score has learned."""
        return self.components[self.spec.score].importance()

    def report(self, folder: Path) -> list[str]:
        """Plot what each component has learned, and return the lines of Markdown that show the plots."""
        return [line for name, component in self.components.items() for line in component.report(folder, name)]

    def curves(self) -> dict[str, Curve]:
        """Return how each component learned, of those that learn in steps."""
        found = {name: component.curve() for name, component in self.components.items()}
        return {name: curve for name, curve in found.items() if curve is not None}

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return facts about the fit of each component that learns."""
        return {
            name: dict(self._fitted[name].facts) if name in self._fitted else one.summary()
            for name, one in self.components.items()
            if one.spec.learns
        }

    def save(self, folder: Path) -> None:
        """Write each component that learns into a folder of its name."""
        for name, component in self.components.items():
            saved = self._fitted[name].folder if name in self._fitted else None
            if saved is not None:  # the same bytes, whichever run has fitted it
                shutil.copytree(saved, folder / name)
            elif component.spec.learns:
                (folder / name).mkdir(parents=True)
                component.save(folder / name)

    @classmethod
    def load(cls, spec: ModelSpec, dtypes: Mapping[str, Dtype], folder: Path, task: Task = "binary") -> Self:
        """Read what :meth:`save` wrote; every component scores with one thread."""
        graph = cls(spec, dtypes, task)
        for name, component in graph.components.items():
            if component.spec.learns:
                graph.components[name] = type(component).load(component.spec, component.inputs, folder / name)
        return graph
