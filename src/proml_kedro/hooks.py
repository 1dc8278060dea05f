"""What happens around a run: limits before it, places of mistakes in it, a summary after it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from proml_kedro.artifacts import Artifact
from proml_kedro.command_line import is_run, run_again, typed
from proml_kedro.config import HydraConfigLoader
from proml_kedro.datasets import ArtifactDataset, RunDataset, move_links
from proml_kedro.errors import Mistake, UserError
from proml_kedro.results import DriftResult, Metrics
from proml_kedro.workflow import Run
from proml_kedro.workflow.champion import challenge, find_champion
from proml_kedro.workflow.plan import pipelines_for
from proml_kedro.workflow.recipes import recipes_of
from proml_kedro.workflow.recording import Recording
from proml_kedro.workflow.stored import explain_missing, find

DRIFTED = GATED = 1
"""Exit code of `kedro run --pipelines=monitor` when current data has drifted, and of runs that fail a gate."""

logger = logging.getLogger(__name__)

_SHOWN = {"evaluation", "drift", "consistency", "bundle", "bento"}
"""Results that people read or serve once a run has ended; of the others, whichever step reads them looks first."""


class ProjectHooks:
    """The project's hooks; Kedro calls them."""

    def __init__(self) -> None:
        self._loader: HydraConfigLoader | None = None
        self._project_path = Path()
        self._recording: Recording | None = None
        self._datasets: dict[str, ArtifactDataset] = {}

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember who knows the configuration, its files and its lines; say to whoever waits that a run begins."""
        self._loader, self._project_path = context.config_loader, Path(context.project_path)
        if self._loader is not None and is_run():  # the libraries of its steps take seconds
            spec = self._loader.loaded.run
            logger.info("%s: a run of model %s begins", spec.problem.name, spec.model.name)

    @hook_impl
    def after_catalog_created(self, catalog: CatalogProtocol[Any, Any]) -> None:
        """Put the run into the catalog, from which every node takes it."""
        if self._loader is not None:
            places = self._loader.places(self._project_path)
            run = Run(
                self._loader.loaded.run,
                catalog.load("store"),
                self._loader.base_path,
                places,
                self._loader.credentials,
            )
            catalog["run"] = RunDataset(run)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Hold every library to the hardware's threads, and choose the results that the run starts from.

        Raises:
            UserError: A device is not there, nothing can be written to the data folder, or there are no results of
                this configuration that earlier pipelines make.
        """
        run: Run = catalog.load("run")
        names = sorted(pipeline.inputs() | pipeline.all_outputs())
        self._datasets = {name: one for name in names if isinstance(one := catalog.get(name), ArtifactDataset)}
        self._recording = Recording.begin(run, typed(), self._loader.overrides if self._loader else ())
        try:
            run.prepare(writes=bool(pipeline.inputs() & {"run", "store"}))
            if "evaluation" in pipeline.all_outputs():
                find_champion(run)
            _choose_inputs(pipeline, catalog, run)
        except Exception as error:
            self.on_pipeline_error(error)
            raise

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note that it is at work."""
        if self._recording:
            self._recording.begin_step(node.name)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Note how long it took."""
        if self._recording:
            self._recording.end_step(node.name)

    def _where(self, key: str) -> str | None:
        return self._loader.where(key) if self._loader is not None else None

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Say in which file, on which line, the user finds what is wrong, and record it."""
        if isinstance(error, UserError):
            error.locate(self._where)
        if self._recording:
            self._recording.results |= self._of_this_run()
            self._recording.fail(error)

    def _of_this_run(self) -> dict[str, Artifact]:
        return {name: one.of_this_run for name, one in self._datasets.items() if one.of_this_run is not None}

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Show results and a summary. Exit code 1 when a gate fails; the monitor alone is one, which drift fails."""
        from proml_kedro import summary

        results = {name: catalog.load(name) for name in pipeline.all_outputs() if not _is_missing(catalog.get(name))}
        run: Run = catalog.load("run")
        for name in sorted(_SHOWN & results.keys()):
            run.store.verify(results[name])
        move_links(self._datasets.values(), run.store.data_dir)
        seconds = self._recording.steps if self._recording else {}
        against = challenge(run, results["evaluation"]) if "evaluation" in results else None
        if self._recording:
            self._recording.results |= self._of_this_run()
            self._recording.challenge = against
            self._recording.complete()
        summary.show(results, run.spec, run.places, seconds, against)
        alone = list(run_params.get("pipeline_names") or []) == ["monitor"]
        if "evaluation" in results and Metrics.read(results["evaluation"].path).failed_gates:
            sys.exit(GATED)
        if against is not None and against.failed_gates:
            sys.exit(GATED)
        if alone and DriftResult.read(results["drift"].path).verdict == "drift":
            sys.exit(DRIFTED)


def _choose_inputs(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], run: Run) -> None:
    """Let the run start from stored results of its own configuration, and from nothing else.

    The links of the catalog lead to them when the run has ended, as if this run had made them. Only of values in the
    online store, which changes in place, there is but one state, that of the newest.

    Raises:
        UserError: There are none.
    """
    datasets = {name: catalog.get(name) for name in sorted(pipeline.inputs())}
    wanted = {name: one for name, one in datasets.items() if isinstance(one, ArtifactDataset)}
    if not wanted:
        return
    store, recipes = run.store, recipes_of(run.spec)
    found = find(store, recipes, wanted)
    order = [*recipes, *(name for name in wanted if name not in recipes)]
    missing = [
        name
        for name in order
        if name in wanted and name not in found and (name in recipes or _is_missing(wanted[name]))
    ]
    if missing:
        newest = {name: one for name in missing if (one := wanted[name].newest())}
        message = explain_missing(store, recipes, missing, newest)
        command = run_again(f"--pipelines={','.join(pipelines_for(missing))}")
        raise UserError(Mistake("", f"{message}; make it with `{command}`"))
    for name, artifact in found.items():
        wanted[name].save(artifact)


def _is_missing(dataset: Any) -> bool:
    return isinstance(dataset, ArtifactDataset) and not dataset.exists()
