"""What trials are measured on: their models learn from the training part, and the validation part judges them.

Tables, features, training sets, decoded rows and the components' own forms of these are made once and shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from proml_kedro.artifacts import Artifact
from proml_kedro.errors import Mistake, UserError
from proml_kedro.results import TrainingSetFacts
from proml_kedro.results.names import examples_file
from proml_kedro.spec.split import VALIDATION
from proml_kedro.spec.training_set import LABEL
from proml_kedro.workflow import Run
from proml_kedro.workflow.recipes import training_set
from proml_kedro.workflow.steps import compute_features, ingest_tables, join_training_set
from proml_kedro.workflow.steps.folds import newest_moment, write_fold
from proml_kedro.workflow.steps.kept_components import KeptComponents
from proml_kedro.workflow.steps.train import read_parts

if TYPE_CHECKING:
    from proml_kedro.models.component import Examples, FitContext, Shared
    from proml_kedro.models.graph import ModelGraph
    from proml_kedro.workflow.steps.train import Parts

_KEPT = 4
"""Of how many sets of inputs decoded rows are kept."""

_NUMBER, _SHARE = 8, 4
"""Decoded rows are kept while their numbers, of so many bytes, need no more than this part of the hardware's memory."""


@dataclass(frozen=True)
class Figure:
    """How good a model is.

    Attributes:
        value: Of the metric on the validation part; of a rolling origin the mean of its folds.
        facts: What the components say of the fit.
    """

    value: float
    facts: dict[str, Any]


@dataclass
class Bench:
    """Measures models of one search, one after the other.

    Attributes:
        metric: What they are measured by.
    """

    metric: str
    _sets: dict[str, Artifact] = field(default_factory=dict)
    _rows: dict[Path, list[Path]] = field(default_factory=dict)
    _parts: dict[Any, Parts] = field(default_factory=dict)
    _shared: Shared | None = None
    _folder: TemporaryDirectory[str] | None = None

    def training_set(self, run: Run) -> Artifact:
        """Make the training set of a run, or take it over from an earlier one; Feast learns of no trial."""
        digest = training_set(run.spec).digest
        if digest not in self._sets:
            run.prepare()
            tables = ingest_tables(run)
            self._sets[digest] = join_training_set(run, tables, compute_features(run, tables))
        return self._sets[digest]

    def measure(self, run: Run, watch: Callable[[str, float], None] | None = None) -> Figure:
        """Fit a run's model to the training part, and measure it on the validation part.

        Components learn nothing from the validation part but when to stop, even those that are refitted to both parts
        once they are chosen.

        Args:
            run: The run.
            watch: As :attr:`proml_kedro.models.component.FitContext.watch`; not used where there are several folds.

        Raises:
            UserError: The model cannot be fitted, or the metric is not defined.
        """
        from proml_kedro.models.component import FitContext, Shared

        if run.spec.model.training.warm_start:
            message = "an earlier bundle may have learned from the validation part, which is to judge; leave it out"
            raise UserError(Mistake("model.training.warm_start", message))
        self._shared = self._shared or Shared()
        made = self.training_set(run)
        classes = TrainingSetFacts.read(made.path).classes
        context = FitContext(
            run.spec.hardware, run.spec.seed, classes=len(classes), final=False, shared=self._shared, watch=watch
        )
        folds = self._folds(run, examples_file(made.path))
        if len(folds) > 1:
            context = replace(context, watch=None)
        keeper = KeptComponents.of(run, made, run.spec.model, None) if len(folds) == 1 else None
        found = [self._measure_on(run, rows, context, classes, keeper) for rows in folds]
        return Figure(sum(value for value, _ in found) / len(found), found[-1][1])

    def close(self) -> None:
        """Remove the files of folds."""
        self._rows.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _measure_on(
        self, run: Run, rows: Path, context: FitContext, classes: Sequence[str], keeper: KeptComponents | None
    ) -> tuple[float, dict[str, Any]]:
        from proml_kedro.models.graph import ModelGraph

        graph = ModelGraph(run.spec.model, run.input_types, run.spec.problem.label.task)
        parts = self._read(run, rows, graph)
        graph.fit(parts.train, parts.validation, context, parts.groups, keeper=keeper)
        held = parts.validation if any(one is parts for one in self._parts.values()) else None
        value = validation_figure(run, rows, graph, held, self.metric, classes)
        if not isfinite(value):
            raise UserError(Mistake("", f"{self.metric} is not defined on the validation part"))
        return value, {name: _plain(facts) for name, facts in graph.summary().items()}

    def _folds(self, run: Run, rows: Path) -> list[Path]:
        """List the files of examples by each of which a model is judged: one, but for a rolling origin."""
        if rows not in self._rows:
            problem = run.spec.problem
            folds = problem.split.folds_until(newest_moment(rows)) if problem.examples.timestamp else []
            self._rows[rows] = [rows]
            if len(folds) > 1:
                self._folder = self._folder or TemporaryDirectory(prefix="proml-search-")
                place = Path(self._folder.name) / str(len(self._rows))
                place.mkdir()
                self._rows[rows] = [place / f"{number}.parquet" for number in range(len(folds))]
                for fold, file in zip(folds, self._rows[rows], strict=True):
                    write_fold(rows, fold, file)
        return self._rows[rows]

    def _read(self, run: Run, rows: Path, graph: ModelGraph) -> Parts:
        """Read the examples of a model, or take over those that an earlier one has decoded."""
        key = (rows, graph.inputs, run.spec.hardware.precision, run.spec.model.training.cross_fit.group)
        parts = self._parts.pop(key, None) or read_parts(run, rows, run.spec.model, graph.inputs)
        numbers = sum(one.size or 1 for one in graph.inputs) * (len(parts.train) + len(parts.validation))
        if numbers * _NUMBER * _SHARE <= run.spec.hardware.memory_bytes:
            self._parts[key] = parts
        while len(self._parts) > _KEPT:
            del self._parts[next(iter(self._parts))]
        return parts


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out lists and the like, and what JSON does not know."""
    return {name: value for name, value in facts.items() if isinstance(value, bool | int | float | str)}


def validation_figure(
    run: Run, rows: Path, graph: ModelGraph, held: Examples | None, metric: str, classes: Sequence[str]
) -> float:
    """Compute a metric of a fitted model on the validation part; NaN where it is not defined.

    Args:
        run: The run.
        rows: The Parquet file of the training set.
        graph: The model.
        held: The rows of the part, decoded; None to read some at a time.
        metric: Name of the metric.
        classes: Names of the label's classes; empty for other tasks.
    """
    from proml_kedro.evaluation.compare import measure
    from proml_kedro.evaluation.rows import Grouping, ModelScores, ScoredRows
    from proml_kedro.models.columns import in_split, read_codes, read_columns
    from proml_kedro.models.component import Input
    from proml_kedro.workflow.steps.scored import FittedModel

    problem, evaluation = run.spec.problem, run.spec.evaluation
    ranking = evaluation.ranking_for(problem)
    by_rank = ranking is not None and metric in ranking.metrics
    if by_rank or held is None:
        scored = FittedModel(run, rows, graph).scores(VALIDATION)
    else:
        scored = ModelScores(graph.spec.name, graph.score(held.columns))
    label = held.label if held else read_columns(rows, [Input(LABEL, "float")], in_split(VALIDATION), "float64")[LABEL]
    within = ranking.within if ranking and by_rank else ""
    grouping = Grouping(within, read_codes(rows, within, in_split(VALIDATION))) if by_rank else None
    scores = ScoredRows(
        label,
        scored,
        task=problem.label.task,
        grouping=grouping,
        classes=tuple(classes),
        ordered=problem.label.ordered,
    )
    chosen = ranking.model_copy(update={"metrics": [metric]}) if ranking and by_rank else None
    found = measure(scores, () if by_rank else (metric,), evaluation.compare, chosen, run.spec.seed)
    return float(found.candidate[metric])


def is_better_high(metric: str) -> bool:
    """Tell whether a larger figure of a metric is a better one."""
    from proml_kedro.extensions import metrics, ranking_metrics

    name = metric.partition("@")[0]
    registry = metrics if name in metrics.names() else ranking_metrics
    return bool(registry.get(name).higher_is_better)
