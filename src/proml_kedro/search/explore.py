"""The loop of a search: choose a combination, measure it, write it down, until the budget is used."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from proml_kedro.digests import fingerprint
from proml_kedro.errors import Mistake, RetriableError, UserError, first_line, masked, masked_setting, shortened
from proml_kedro.project import Project
from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.bench import Bench, is_better_high
from proml_kedro.search.propose import LARGEST_GRID, propose
from proml_kedro.search.prune import PrunedError, Watcher
from proml_kedro.search.space import Space, read_space
from proml_kedro.search.study import Study

logger = logging.getLogger(__name__)

_WAIT = 0.3
"""Seconds between looks at what other processes still do."""

_CODE = ("search", "evaluation", "models", "workflow/steps/train.py")


@dataclass
class Search:
    """A search that can be gone on with.

    Attributes:
        project: The configuration, without what varies.
        space: What varies.
        study: Where trials are kept.
        notices: What is to be known about the space.
    """

    project: Project
    space: Space
    study: Study
    notices: list[str]
    _bench: Bench
    _facts: SearchFacts
    _made: dict[str, Any] = field(default_factory=dict)

    def run(self) -> list[Trial]:
        """Measure combinations until the budget is used, together with other processes that do the same.

        Returns:
            All trials in their order.

        Raises:
            UserError: Every trial has failed.
        """
        try:
            trials = self._until_the_end()
        finally:
            self._bench.close()
        if not any(one.value is not None for one in trials):
            raise UserError(*(Mistake("", one.error or "", f"trial {one.number}") for one in trials[:3]))
        return trials

    def _until_the_end(self) -> list[Trial]:
        waited_for: list[int] = []
        while True:
            trial = self.study.begin(self._next)
            if trial is not None:
                ended = self._measure(trial)
                self.study.end(ended)
                logger.info("%s", in_one_line(ended, self._facts.metric))
                continue
            trials = self.study.trials()
            others = [one.number for one in trials if one.state == "running"]
            if not others:
                return trials
            if others != waited_for:
                logger.info("waiting for other processes, which measure trials %s", ", ".join(map(str, others)))
                waited_for = others
            time.sleep(_WAIT)  # another process measures the last ones, or is killed

    def best(self, trials: Sequence[Trial]) -> Trial:
        """Return the best of some trials, the first one of several that are equally good."""
        return ranked(trials, self._facts)[0]

    @property
    def facts(self) -> SearchFacts:
        """What is searched."""
        return self._facts

    def _next(self, trials: Sequence[Trial]) -> Trial | None:
        spec = self.project.spec.search
        used = sum(one.cpu_seconds for one in trials)
        if len(trials) >= spec.trials or (spec.cpu is not None and used >= spec.cpu.total_seconds()):
            return None
        point = propose(self.space, self._facts, trials)
        if point is None:
            return None
        return Trial(number=len(trials) + 1, point=point, overrides=self.space.overrides(point))

    def _measure(self, trial: Trial) -> Trial:
        began, cpu = time.perf_counter(), cpu_seconds()
        ended = self._measured(trial)
        seconds, used = round(time.perf_counter() - began, 3), round(cpu_seconds() - cpu, 3)
        return replace(ended, seconds=seconds, cpu_seconds=used)

    def _measured(self, trial: Trial) -> Trial:
        """Measure a combination; what goes wrong in it is written down and ends nothing else."""
        if (known := self._known(trial)) is not None:
            return replace(trial, state="done", value=known.value, facts={**known.facts, "as_trial": known.number})
        project = self.project.with_overrides(*trial.overrides)
        pruning = self.project.spec.search.pruning
        watcher = Watcher(pruning, [one for one in self.study.trials() if one.steps])
        try:
            figure = self._bench.measure(project.as_run(), watcher if pruning != "none" else None)
        except PrunedError:
            return replace(trial, state="pruned", curve=watcher.curve, steps=tuple(watcher.losses))
        except RetriableError:
            raise
        except UserError as error:
            error.locate(project.loader.where)
            return replace(trial, state="failed", error=shortened(str(error).splitlines()[0], 500))
        except Exception as error:
            text = masked(" ".join(f"{type(error).__name__}: {first_line(error)}".split()))
            logger.debug("trial %d", trial.number, exc_info=True)
            return replace(trial, state="failed", error=shortened(text, 500))
        known = replace(trial, curve=watcher.curve, steps=tuple(watcher.losses))
        return replace(known, state="done", value=figure.value, facts=figure.facts)

    def _known(self, trial: Trial) -> Trial | None:
        """Find an earlier trial of the same combination: it would come to the same figure."""
        trials = self.study.trials()
        return next((one for one in trials if one.point == trial.point and one.value is not None), None)


def open_search(project: Project) -> Search:
    """Begin a search, or open one that was begun.

    Tables, features and the training set of the configuration are made before, since they say which search it is.

    Args:
        project: Its overrides, or its ``search.space``, say what varies.

    Raises:
        UserError: With everything that is wrong.
    """
    base, space, notices = read_space(project)
    spec, run = base.spec.search, base.as_run()
    sampler = _sampler(base, space)
    evaluation = base.spec.evaluation
    label = base.spec.problem.label
    metric = spec.metric or evaluation.metrics_for(label.task, label.ordered)[0]
    bench = Bench(metric)
    made = bench.training_set(run)
    code = run.store.code_fingerprint(*_CODE)
    rest = base.spec.model_dump(mode="json", include={"problem", "features", "model", "seed", "evaluation"})
    facts = SearchFacts(
        problem=base.spec.problem.name,
        model=base.spec.model.name,
        metric=metric,
        higher_is_better=is_better_high(metric),
        space=tuple(one.written for one in space.dimensions),
        overrides=tuple(masked_setting(one) for one in base.overrides if not one.startswith("search")),
        sampler=sampler,
        pruning=spec.pruning,
        seed=base.spec.seed,
        made_from=fingerprint({"configuration": rest, "training_set": made.fingerprint, "code": code}),
    )
    name = spec.name or f"{facts.problem}-{fingerprint(facts.as_dict())[:8]}"
    return Search(base, space, Study(base.data_dir, name, facts), notices, bench, facts)


def _sampler(base: Project, space: Space) -> str:
    spec, size = base.spec.search, space.size
    fits = size is not None and size <= min(spec.trials, LARGEST_GRID)
    if spec.sampler == "grid" and not fits:
        where = base.loader.where("search.sampler")
        if size is None:
            interval = next(one for one in space.dimensions if not one.values)
            message = (
                f"a grid has no intervals; write range(START, STOP, STEP) for {interval.key}, or search.sampler=tpe"
            )
            raise UserError(Mistake("search.sampler", message, where))
        message = f"the grid has {size:,} combinations, more than the {spec.trials} of search.trials"
        raise UserError(
            Mistake("search.trials", f"{message}; write search.trials={size}, or search.sampler=tpe", where)
        )
    return ("grid" if fits else "tpe") if spec.sampler == "auto" else spec.sampler


def ranked(trials: Sequence[Trial], facts: SearchFacts) -> list[Trial]:
    """Sort the trials that have a figure, the best first; of equal ones the first that began is before."""
    sign = -1 if facts.higher_is_better else 1
    found = [one for one in trials if one.value is not None and one.state == "done"]
    return sorted(found, key=lambda one: (sign * (one.value or 0.0), one.number))


def in_one_line(trial: Trial, metric: str) -> str:
    """Say in one line what came of a trial."""
    other = f"ended early after {len(trial.steps)} steps" if trial.state == "pruned" else f"failed: {trial.error}"
    what = f"{metric} {trial.value:.4f}" if trial.value is not None else other
    same = f", as trial {trial.facts['as_trial']}" if "as_trial" in trial.facts else ""
    return f"trial {trial.number}: {what}{same} ({' '.join(trial.overrides)})"


def cpu_seconds() -> float:
    """Return the CPU time of this process and its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usages)
