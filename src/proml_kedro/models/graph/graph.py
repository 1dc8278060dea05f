"""A model: components in a graph, fitted in order, each on what the ones before it say."""

from __future__ import annotations

import logging
import time
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.extensions import components
from proml_kedro.hardware import use
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input, LazyColumns
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.inputs import read_by
from proml_kedro.spec.model import ModelSpec, score_output
from proml_kedro.spec.problem import Task

logger = logging.getLogger(__name__)


class ModelGraph:
    """The components of a model, in an order in which each comes after those it needs.

    Args:
        spec: The model, as declared.
        dtypes: The features and entities there are, to their types.
        task: What sort of label is predicted.

    Attributes:
        inputs: The features and entities that the model reads.
        score_output: The output of :attr:`spec`'s ``score`` that is the model's.

    Raises:
        UserError: The component that gives the model's score does not have that output.
    """

    def __init__(self, spec: ModelSpec, dtypes: Mapping[str, Dtype], task: Task = "binary") -> None:
        self.spec = spec
        self.task = task
        self.score_output = score_output(task)
        outputs = spec.outputs(task)
        self._reads = {
            name: tuple(Input(read, dtype) for read, dtype in read_by(one, dtypes, outputs).items())
            for name, one in spec.components.items()
        }
        self._parents = {
            name: {one.name.partition(".")[0] for one in reads if one.name not in dtypes}
            for name, reads in self._reads.items()
        }
        self._order = tuple(TopologicalSorter(self._parents).static_order())
        self.components: dict[str, Component] = {name: self._new(name) for name in self._order}
        if self.score_output not in spec.components[spec.score].outputs(task):
            raise UserError.at("model.score", f"'{spec.score}' gives no {self.score_output}")
        self.inputs: tuple[Input, ...] = tuple(
            dict.fromkeys(one for name in spec.components for one in self._reads[name] if one.name in dtypes)
        )

    def _new(self, name: str) -> Component:
        spec = self.spec.components[name]
        try:
            component: Component = components.get(spec.kind)(spec, self._reads[name])
        except UserError as error:  # a component does not know where it stands
            here = f"model.components.{name}"
            raise UserError(*(replace(one, key=f"{here}.{one.key}") for one in error.mistakes)) from error
        return component

    def fit(
        self,
        train: Examples,
        validation: Examples,
        context: FitContext,
        groups: Array | None = None,
        previous: ModelGraph | None = None,
    ) -> None:
        """Fit every component.

        What a component learns from another one's outputs, it learns from out-of-fold outputs: each row is scored
        by a copy that has not seen it. Otherwise an overfitted component looks better than it is to those after it.

        Args:
            train: To learn from; :attr:`inputs` are its columns.
            validation: To choose by.
            context: Hardware and seed; its ``key`` is the model's place in the configuration.
            groups: Shape (n,); rows of ``train`` with equal values are never split between folds.
            previous: An earlier model; a component starts from the one of its name and kind.
        """
        learned, chosen = ChainMap[str, Array]({}, train.columns), ChainMap[str, Array]({}, validation.columns)  # type: ignore[arg-type]
        needed = set().union(*self._parents.values())
        with use(context.hardware):
            for name in self._order:
                final = name not in needed
                here = replace(
                    context,
                    key=f"{context.key}.components.{name}",
                    final=final,
                    checkpoints=context.checkpoints and context.checkpoints / name,
                    previous=self._same_component(name, previous),
                )
                rows, chooser = self._examples(name, learned, train), self._examples(name, chosen, validation)
                self._fit_one(self.components[name], name, rows, chooser, here)
                if not final:
                    learned.update(self._out_of_fold(name, rows, chooser, here, groups))
                    chosen.update(self._named_outputs(name, chosen))

    def _same_component(self, name: str, previous: ModelGraph | None) -> Component | None:
        if previous is None or name not in previous.components or not self.spec.components[name].warm_starts:
            return None
        found = previous.components[name]
        return found if found.spec.kind == self.spec.components[name].kind else None

    def _examples(self, name: str, columns: Columns, like: Examples) -> Examples:
        """The examples as a component sees them; nothing is read before it looks."""
        names = [one.name for one in self._reads[name]]
        own = LazyColumns(names, lambda: {one: columns[one] for one in names})
        return replace(like, columns=own, source=None if self._parents[name] else like.source)

    def _fit_one(self, component: Component, name: str, train: Examples, check: Examples, here: FitContext) -> None:
        start = time.perf_counter()
        component.fit(train, check, here)
        facts = {"rows": len(train), **component.summary()}
        said = ", ".join(_in_words(fact, value) for fact, value in facts.items())
        logger.info("%s: fitted in %.1f s: %s", name, time.perf_counter() - start, said)

    def _out_of_fold(
        self, name: str, train: Examples, validation: Examples, here: FitContext, groups: Array | None
    ) -> dict[str, Array]:
        """The component's outputs for its training rows, each from a copy that was fitted without that row."""
        folds = _folds(len(train), self.spec.training.cross_fit.folds, here.seed, groups)
        model_key = here.key.partition(".components.")[0]
        if self.task == "binary":
            _check_folds(folds, train.label, self.spec.training.cross_fit.folds, model_key)
        outputs: dict[str, Array] = {}
        for fold in range(self.spec.training.cross_fit.folds):
            held_out = folds == fold
            copy = self._new(name)
            there = replace(here, checkpoints=here.checkpoints and here.checkpoints / f"fold_{fold + 1}", previous=None)
            self._fit_one(copy, f"{name} (fold {fold + 1})", train.take(~held_out), validation, there)
            for output, values in copy.score(train.take(held_out).columns).items():
                outputs.setdefault(f"{name}.{output}", np.empty(len(train)))[held_out] = values
        return outputs

    def _named_outputs(self, name: str, columns: Columns) -> dict[str, Array]:
        reads = {one.name: columns[one.name] for one in self._reads[name]}
        return {f"{name}.{output}": values for output, values in self.components[name].score(reads).items()}

    def outputs(self, columns: Columns) -> dict[str, Array]:
        """Every component's outputs, ``component.output`` to an array of shape (n,)."""
        known = dict(columns)
        for name in self._order:
            known.update(self._named_outputs(name, known))
        return {name: values for name, values in known.items() if name not in columns}

    def score(self, columns: Columns) -> npt.NDArray[np.float64]:
        """The model's score, shape (n,): the probability, or for other tasks the mean of what is predicted."""
        return np.asarray(self.outputs(columns)[f"{self.spec.score}.{self.score_output}"], np.float64)

    def importance(self) -> dict[str, float]:
        """How much each input contributes to the component that gives the score."""
        return self.components[self.spec.score].importance()

    def report(self, folder: Path) -> list[str]:
        """Plots of what each component has learned, and the lines of Markdown that show them."""
        return [line for name, component in self.components.items() for line in component.report(folder, name)]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Facts about each component's fit."""
        return {name: component.summary() for name, component in self.components.items()}

    def save(self, folder: Path) -> None:
        """Each component into a folder of its name."""
        for name, component in self.components.items():
            (folder / name).mkdir(parents=True)
            component.save(folder / name)

    @classmethod
    def load(cls, spec: ModelSpec, dtypes: Mapping[str, Dtype], folder: Path, task: Task = "binary") -> Self:
        """What :meth:`save` wrote; every component scores with one thread."""
        graph = cls(spec, dtypes, task)
        for name, component in graph.components.items():
            graph.components[name] = type(component).load(component.spec, component.inputs, folder / name)
        return graph


def _in_words(fact: str, value: Any) -> str:
    """A fact about a fit: 12 steps, converged, engine streamed, deviation 0.4."""
    if isinstance(value, bool):
        return fact if value else f"not {fact}"
    return f"{value:,} {fact}" if isinstance(value, int) else f"{fact} {value}"


def _folds(rows: int, folds: int, seed: int, groups: Array | None) -> npt.NDArray[np.int64]:
    """The fold of each row, shape (rows,); equal groups share a fold, and a row without a group is one of its own."""
    generator = np.random.default_rng(seed)
    if groups is None:
        return generator.permutation(rows) % folds
    names = [f"row {row}" if group is None else f"group {group}" for row, group in enumerate(groups.tolist())]
    _, codes = np.unique(names, return_inverse=True)
    return (generator.permutation(codes.max() + 1) % folds)[codes]


def _check_folds(folds: npt.NDArray[np.int64], label: Array, count: int, key: str) -> None:
    """See that a copy can be fitted without each fold.

    Raises:
        UserError: What is left without a fold holds no row, or rows of one class only.
    """
    for fold in range(count):
        if len(np.unique(label[folds != fold])) < 2:
            raise UserError.at(
                f"{key}.training.cross_fit",
                f"without fold {fold + 1} of {count} the training period holds one class only; use fewer folds",
            )
