"""Fitting a graph: each component on what those before it say of rows that they have not seen."""

from __future__ import annotations

import logging
import time
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.hardware import share
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, LazyColumns
from proml_kedro.models.graph.fitted_step import FittedStep, KeepsSteps
from proml_kedro.models.graph.plan import Plan, Step
from proml_kedro.models.graph.schedule import Job, run_jobs
from proml_kedro.models.graph.score import InProcess, PlannedRows, run_plan
from proml_kedro.spec.hardware import HardwareSpec

logger = logging.getLogger(__name__)


@dataclass
class KnownRows:
    """Examples, with what components have said of them so far.

    Attributes:
        examples: The examples.
        plan: The model's plan.
        executor: Computes the components that learn nothing.
        held: The outputs of components that learn, ``component.output`` to an array of n rows.
    """

    examples: Examples
    plan: Plan
    executor: InProcess
    held: dict[str, Array] = field(default_factory=dict)

    def seen_by(self, step: Step) -> Examples:
        """Select what a component reads of the examples; nothing is read or computed before it looks."""
        names, held = [one.name for one in step.reads], dict(self.held)  # which grows while components are fitted
        source = self.examples.source
        if source is not None and any(self.plan.maker(name) for name in names):
            source = PlannedRows(source, self.plan, self.executor, held)
        return replace(self.examples, columns=LazyColumns(names, lambda: self._read(names, held)), source=source)

    def _read(self, names: Iterable[str], held: dict[str, Array]) -> Columns:
        columns = ChainMap[str, Array](held, self.examples.columns)  # type: ignore[arg-type]
        made = run_plan(self.plan.until(names, held), columns, self.executor)
        return {name: made[name] if name in made else columns[name] for name in names}


@dataclass(frozen=True)
class GraphFit:
    """One fit of a graph.

    Attributes:
        plan: The model's plan.
        components: By name, as they are declared; each is fitted, or another one that is takes its place.
        create: Makes another component of a name, which is not fitted.
        folds: Into how many parts rows are divided for out-of-fold outputs.
        groups: Shape (n,); rows of the training set with equal values are never split between folds. None for none.
        previous: Components of an earlier model, by name.
        keeper: Keeps components that are fitted for later fits; None when they are not kept.
        locked: Components that stay as ``previous`` has them.
    """

    plan: Plan
    components: dict[str, Component]
    create: Callable[[str], Component]
    folds: int
    groups: Array | None = None
    previous: Mapping[str, Component] = field(default_factory=dict)
    keeper: KeepsSteps | None = None
    locked: Collection[str] = ()

    def run(self, train: Examples, validation: Examples, context: FitContext) -> dict[str, FittedStep]:
        """Fit every component that learns.

        What a component learns from the outputs of another one that learns, it learns from out-of-fold outputs: each
        row is scored by a copy that has not seen it. Otherwise an overfitted component looks better than it is to those
        after it.

        Args:
            train: To learn from.
            validation: To choose by.
            context: Hardware and seed; its ``key`` is the model's place in the configuration.

        Returns:
            Each component that learns, by name.

        Raises:
            UserError: A component needs more memory than the hardware has, or refuses its configuration or examples.
        """
        rows = len(train) + len(validation)
        jobs = [self._job(step, rows, context.hardware) for step in self.plan.steps if step.learns]
        self._check_memory(jobs, rows)
        executor = InProcess(self.components)
        learned, chosen = (KnownRows(one, self.plan, executor) for one in (train, validation))
        done: dict[str, FittedStep] = {}

        def begin(job: Job) -> Callable[[], FittedStep]:
            step = self.plan.step(job.name)
            here = self._context(job, context)
            return partial(self._fit_or_take, step, learned.seen_by(step), chosen.seen_by(step), here, context.key)

        def end(job: Job, found: FittedStep) -> None:
            done[job.name], self.components[job.name] = found, found.component
            learned.held.update(found.learned)
            chosen.held.update(found.chosen)

        with share(self._machine(jobs, context.hardware)):
            run_jobs(jobs, context.hardware, begin, end)
        return {job.name: done[job.name] for job in jobs}

    def _job(self, step: Step, rows: int, hardware: HardwareSpec) -> Job:
        """What a component needs to be fitted."""
        component = self.components[step.component]
        before = [name for name in self._before(step) if self.plan.step(name).learns]
        alone = step.kind if component.spec.one_at_a_time else None
        memory = component.memory_needed(rows, hardware.precision)
        return Job(step.component, frozenset(before), component.spec.hardware_of(hardware), memory, alone)

    def _machine(self, jobs: Sequence[Job], hardware: HardwareSpec) -> HardwareSpec:
        """What a library that is set up once a process has to be given: all devices, and the threads of networks."""
        networks = [job for job in jobs if "mixed_precision" in self.components[job.name].spec.hardware_keys]
        threads = next((job.hardware.threads for job in networks), hardware.threads)
        return hardware.model_copy(update={"threads": threads}).joined(job.hardware for job in jobs)

    def _fit_or_take(self, step: Step, rows: Examples, chooser: Examples, here: FitContext, key: str) -> FittedStep:
        """Fit one component, or take it over from an earlier model or run."""
        name = step.component
        if name in self.locked:
            return self._locked(step, rows, chooser, key)
        fit = partial(self._fit, step, rows, chooser, here, key)
        if self.keeper is None or here.final == self.plan.is_learned_from(name):
            # The last component of a model that is to be judged is neither final nor has outputs for others.
            return fit(here.checkpoints)
        load = partial(type(self.components[name]).load, self.components[name].spec, step.reads)
        return self.keeper.keep(step, self._before(step), here.final, fit, load)

    def _fit(
        self,
        step: Step,
        rows: Examples,
        chooser: Examples,
        context: FitContext,
        key: str,
        checkpoints: Path | None,
    ) -> FittedStep:
        """Fit one component, and collect what those after it learn from it."""
        here, component = replace(context, checkpoints=checkpoints), self.components[step.component]
        fit_one(component, step.component, rows, chooser, here)
        learned: Columns = {}
        chosen: Columns = {}
        if self.plan.is_learned_from(step.component):
            learned = self._said_of_learned(step, rows, chooser, here, key)
            chosen = InProcess(self.components).run(step, chooser.columns)
        return FittedStep(component, component.summary(), learned, chosen)

    def _locked(self, step: Step, rows: Examples, chooser: Examples, key: str) -> FittedStep:
        """Take a component over from the earlier model, with what it says of rows that it may have learned from.

        Raises:
            UserError: The earlier model does not have it, or declares it otherwise.
        """
        name, mine = step.component, self.components[step.component]
        earlier = self.previous.get(name)
        if earlier is None or not _same_spec(earlier, mine) or earlier.inputs != mine.inputs:
            what = "has no such component" if earlier is None else "declares it, or its inputs, otherwise"
            message = f"'{name}' cannot be kept: the bundle of training.warm_start {what}; leave it out to train it"
            raise UserError.at(f"{key}.training.locked", message)
        logger.info("%s: locked, as the earlier model has it", name)
        facts, final = earlier.summary(), not self.plan.is_learned_from(name)
        if not final and mine.spec.reads_labels:
            note = "locked: what it says of rows that the earlier model has learned from is not out of fold"
            facts = {**facts, "notes": [*facts.get("notes", ()), note]}
        executor = InProcess({name: earlier})
        learned, chosen = ({} if final else executor.run(step, one.columns) for one in (rows, chooser))
        return FittedStep(earlier, {**facts, "locked": True}, learned, chosen)

    def _before(self, step: Step) -> list[str]:
        """Name the components from which what a component reads is computed."""
        plan = self.plan.until([one.name for one in step.reads])
        return [one.component for one in plan.steps]

    def _check_memory(self, jobs: Iterable[Job], rows: int) -> None:
        """Check, before anything is read, that every component has the memory that it needs at the least.

        Raises:
            UserError: One has not.
        """
        for job in jobs:
            if job.memory > job.hardware.memory_bytes:
                least = f"{-(-job.memory // 1_000_000)}MB"
                raise UserError.at(
                    "hardware.memory",
                    f"component '{job.name}' needs at least {least} to learn from {rows:,} rows of "
                    f"{len(self.components[job.name].inputs):,} inputs, more than {job.hardware.memory}; write "
                    f"hardware.memory={least}",
                )

    def _context(self, job: Job, context: FitContext) -> FitContext:
        name = job.name
        return replace(
            context,
            hardware=job.hardware,
            key=f"{context.key}.components.{name}",
            final=context.final and not self.plan.is_learned_from(name),
            watch=context.watch if self.plan.step(name) == self.plan.maker(self.plan.score) else None,
            checkpoints=context.checkpoints and context.checkpoints / name,
            previous=self._same_component(name),
        )

    def _same_component(self, name: str) -> Component | None:
        found, spec = self.previous.get(name), self.components[name].spec
        return found if found is not None and spec.warm_starts and found.spec.kind == spec.kind else None

    def _said_of_learned(
        self, step: Step, train: Examples, validation: Examples, here: FitContext, key: str
    ) -> Columns:
        """The component's outputs for its training rows, out of fold unless it has not seen their labels."""
        component = self.components[step.component]
        if component.spec.reads_labels:
            return self._out_of_fold(step, train, validation, here, key)
        return InProcess({step.component: component}).run(step, train.columns)

    def _out_of_fold(
        self, step: Step, train: Examples, validation: Examples, here: FitContext, key: str
    ) -> dict[str, Array]:
        """The component's outputs for its training rows, each from a copy that was fitted without that row."""
        folds = split_into_folds(len(train), self.folds, here.seed, self.groups)
        if here.task == "binary":
            _check_folds(folds, train.label, self.folds, key)
        outputs: dict[str, Array] = {}
        for fold in range(self.folds):
            held_out = folds == fold
            copy = self.create(step.component)
            kept = here.checkpoints and here.checkpoints / f"fold_{fold + 1}"
            there = replace(here, checkpoints=kept, previous=None, shared=None, watch=None)
            fit_one(copy, f"{step.component} (fold {fold + 1})", train.take(~held_out), validation, there)
            scores = InProcess({step.component: copy}).run(step, train.take(held_out).columns)
            for name, values in scores.items():
                whole = outputs.setdefault(name, np.empty((len(train), *values.shape[1:]), values.dtype))
                whole[held_out] = values
        return outputs


def _same_spec(one: Component, other: Component) -> bool:
    """Tell whether two components are declared alike, whatever machine they are fitted on."""
    return one.spec == other.spec.model_copy(update={"hardware": one.spec.hardware})


def fit_one(component: Component, name: str, train: Examples, validation: Examples, context: FitContext) -> None:
    """Fit a component, and log how long it took and what it says of the fit."""
    start = time.perf_counter()
    component.fit(train, validation, context)
    facts = {"rows to train": len(train), "to choose": len(validation), **component.summary()}
    said = ", ".join(_in_words(fact, value) for fact, value in facts.items() if not isinstance(value, list | dict))
    logger.info("%s: fitted in %.1f s: %s", name, time.perf_counter() - start, said)


def _in_words(fact: str, value: Any) -> str:
    """A fact about a fit: 12 steps, converged, engine streamed, deviation 0.4."""
    if isinstance(value, bool):
        return fact if value else f"not {fact}"
    return f"{value:,} {fact}" if isinstance(value, int) else f"{fact} {value}"


def split_into_folds(rows: int, folds: int, seed: int, groups: Array | None) -> npt.NDArray[np.int64]:
    """Assign a fold to each row, shape (rows,); equal groups share one, a row without a group is a group of its own."""
    generator = np.random.default_rng(seed)
    if groups is None:
        return generator.permutation(rows) % folds
    names = [f"row {row}" if group is None else f"group {group}" for row, group in enumerate(groups.tolist())]
    _, codes = np.unique(names, return_inverse=True)
    return (generator.permutation(codes.max() + 1) % folds)[codes]


def _check_folds(folds: npt.NDArray[np.int64], label: Array, count: int, key: str) -> None:
    """Check that a copy can be fitted without each fold.

    Raises:
        UserError: What is left without a fold holds no row, or rows of one class only.
    """
    for fold in range(count):
        if len(np.unique(label[folds != fold])) < 2:
            raise UserError.at(
                f"{key}.training.cross_fit",
                f"without fold {fold + 1} of {count} the training period holds one class only; use fewer folds",
            )
