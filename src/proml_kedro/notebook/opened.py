"""A project that was opened in a notebook or a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.notebook.features import Features
from proml_kedro.notebook.made import Made
from proml_kedro.notebook.progress import Progress
from proml_kedro.notebook.runs import Compared, Runs
from proml_kedro.notebook.training import TrainingSet
from proml_kedro.project import Project

if TYPE_CHECKING:
    from proml_kedro.notebook.opened_bundle import OpenedBundle
    from proml_kedro.notebook.plots import Plots
    from proml_kedro.release.scored import Shelf
    from proml_kedro.workflow.recording import Recording


def open_project(path: str | Path = ".", *overrides: str, env: str | None = None) -> OpenedProject:
    """Open the project that a folder belongs to, for a notebook or a script; see :meth:`Project.at`."""
    return OpenedProject.at(path, *overrides, env=env)


class OpenedProject(Project):
    """A project with what people look at: features, training sets, runs, comparisons, plots."""

    @cached_property
    def features(self) -> Features:
        """Every feature that is declared, to search and to read."""
        return Features(self)

    @property
    def runs(self) -> Runs:
        """The runs there were."""
        return Runs(self)

    @property
    def plot(self) -> Plots:
        """Plots of the problem."""
        from proml_kedro.notebook.plots import Plots

        return Plots(self)

    def training_set(self, problem: str | None = None, features: Sequence[str] | None = None) -> TrainingSet:
        """Give the examples of a problem with features as they were known then; they are made if they are not there.

        Args:
            problem: Name of a problem; the configured one when left out.
            features: Patterns of ``view.feature``; those that model and baseline read when left out.

        Raises:
            UserError: There is no such problem, or a pattern matches no feature.
        """
        from proml_kedro.spec import ModelSpec
        from proml_kedro.workflow import Run
        from proml_kedro.workflow.steps import compute_features, ingest_tables, join_training_set

        if problem is not None and problem != self.spec.problem.name:
            return self.with_overrides(f"problem={problem}").training_set(features=features)
        spec = self.spec
        if features is not None:
            self._check_features(features)
            reader = {"kind": "constant", "inputs": list(features)}
            model = ModelSpec.model_validate({"name": "notebook", "components": {"reads": reader}, "score": "reads"})
            evaluation = spec.evaluation.model_copy(update={"baseline": None})
            spec = spec.model_copy(update={"model": model, "evaluation": evaluation})
        run = Run(spec, self.store(), self.base_path, self.places, self.loader.credentials)
        run.prepare()
        tables = ingest_tables(run)
        made = join_training_set(run, tables, compute_features(run, tables))
        run.store.verify(made)
        return TrainingSet(made.path)

    def compare(
        self,
        baseline: str | Path,
        *models: str | Path,
        metrics: Sequence[str] = (),
        by: str | None = None,
        margin: float | None = None,
    ) -> Compared:
        """Compare models with the first of them on the test period, as `kedro compare` does.

        Args:
            baseline: A run by the beginning of its id, the folder of a bundle or evaluation, or a model's name.
            models: Those that are compared with it.
            metrics: Only these; the first decides. Those of the first model when left out.
            by: What makes rows a cluster; as the first model's evaluation had it when left out.
            margin: By how much a model may be worse in the metric that decides and still be as good.

        Raises:
            UserError: A model is not there, or has scored other examples.
        """
        from proml_kedro.release.aligned import align
        from proml_kedro.release.compare import Question, answer

        if not models:
            raise UserError(Mistake("", f"'{baseline}' is compared with nothing: name other models"))
        if margin is not None and not margin > 0:
            raise UserError(Mistake("", f"a margin is above 0, not {margin:g}"))
        shelf = self.shelf()
        aligned = align([shelf.read(str(one)) for one in (baseline, *models)])
        return Compared(answer(aligned, Question(tuple(metrics), by, margin)))

    def run(self, *overrides: str, results: Sequence[str] = ("evaluation",)) -> Made:
        """Make results as :meth:`Project.run` does, with a bar that says how far it is.

        Returns:
            All that was made or taken over, by name; it shows the verdict, and metrics beside the baseline's.

        Raises:
            UserError: With everything that is wrong, each with file and line.
        """
        return Made(super().run(*overrides, results=results))

    @contextmanager
    def _watching(self, recording: Recording, results: Sequence[str]) -> Iterator[None]:
        from proml_kedro.workflow.plan import STEPS, needed_for

        steps = [STEPS[one].name for one in needed_for(results)]
        bar = Progress(steps, f"{self.spec.problem.name} · {self.spec.model.name}")
        recording.watch = bar.begin
        try:
            yield
        except BaseException:
            bar.end(failed=True)
            raise
        bar.end()

    def bundle(self, folder: str | Path | None = None) -> OpenedBundle:
        """Load and prove a bundle.

        Args:
            folder: Its folder; that of the configured problem and model when left out, which is made if it is not
                there.

        Raises:
            IntegrityError: It is not what was written.
        """
        from proml_kedro.notebook.opened_bundle import OpenedBundle

        return OpenedBundle.load(self.run(results=("bundle",))["bundle"].path if folder is None else folder)

    def shelf(self) -> Shelf:
        """Return where models with scores are found by their names."""
        from proml_kedro.release.scored import Shelf
        from proml_kedro.results.run_record import read_records

        records = [one for _, one in read_records(self.data_dir, lambda line: None)]
        return Shelf(self.store(), self.places, records)

    def _check_features(self, patterns: Sequence[str]) -> None:
        from fnmatch import fnmatchcase

        known = self.spec.features.columns()
        lost = [one for one in patterns if not any(fnmatchcase(name, one) for name in known)]
        if lost:
            raise UserError(*(Mistake("", unknown("feature", one, known)) for one in lost))

    def __repr__(self) -> str:
        return f"project {self.base_path}: {self.spec.problem.name}, {self.spec.model.name}"
